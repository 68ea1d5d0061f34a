"""The ``tactic`` command: one line for every error a user can mend, and an exit code."""

from __future__ import annotations

import os
import sys

from tactic_codec.errors import TacticError

UNEXPECTED = 1
INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit; ``docs/exit-codes.md`` lists the codes."""
    # OpenCV would put several lines about a camera that is not there before ours.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    # FFmpeg names the streams that it opens, with the password in their URL.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    from tactic.app import app

    try:
        app()
    except TacticError as fault:
        _say(str(fault))
        sys.exit(fault.exit_code)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(INTERRUPTED)
    except Exception as fault:
        if os.environ.get("TACTIC_TRACEBACK"):
            raise
        _say(
            f"unexpected {type(fault).__name__}: {' '.join(str(fault).split())}; "
            "please report it with the output of TACTIC_TRACEBACK=1"
        )
        sys.exit(UNEXPECTED)


def _say(text: str) -> None:
    print(f"tactic: {' '.join(text.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
