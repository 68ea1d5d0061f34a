"""Every mistake in a configuration file is answered by one line with its place and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from tactic_codec.config import LocalPath, Section, load
from tactic_codec.errors import ConfigError


class Link(Section):
    host: str
    port: int = Field(default=1883, gt=0)


class Camera(Section):
    name: str


class Whole(Section):
    link: Link
    store: LocalPath = Path("store.db")
    cameras: tuple[Camera, ...] = ()


def write(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_defaults_and_paths_beside_the_file(tmp_path: Path) -> None:
    config = load(write(tmp_path, 'store = "a/b.db"\n[link]\nhost = "h"\n'), Whole)
    assert config.link.port == 1883
    assert config.store == tmp_path / "a/b.db"


def test_absolute_path_is_kept(tmp_path: Path) -> None:
    config = load(write(tmp_path, 'store = "/var/s.db"\n[link]\nhost = "h"\n'), Whole)
    assert config.store == Path("/var/s.db")


@pytest.mark.parametrize(
    ("text", "line", "key", "problem"),
    [
        ('[link]\nhost = "h"\nprot = 1\n', 3, "link.prot", "unknown key; did you mean port?"),
        ('[link]\nhost = "h"\n\nzzz = 1\n', 4, "link.zzz", "unknown key; remove it"),
        ('\n[link]\nhost = "h"\nport = "x"\n', 4, "link.port", "it is 'x'"),
        ('[link]\nhost = "h"\nport = -1\n', 3, "link.port", "it is -1"),
        ("# c\n[link]\nport = 1\n", 2, "link.host", "required but missing"),
        ('store = "x"\n', 1, "link", "required but missing"),
        ('link.host = "h"\nlink.prt = 2\n', 2, "link.prt", "did you mean port?"),
        (
            '[link]\nhost = "h"\n[[cameras]]\nname = "a"\n[[cameras]]\nname = 5\n',
            6,
            "cameras.1.name",
            "it is 5",
        ),
        ('[link]\nhost = "h"\n[links]\na = 1\n', 3, "links", "did you mean link?"),
        ('[link]\nhosts = "h"\n', 2, "link.hosts", "did you mean host? (and 1 more)"),
    ],
)
def test_mistakes_name_their_line(
    tmp_path: Path, text: str, line: int, key: str, problem: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path, Whole)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: {key}: ")
    assert problem in message
    assert "\n" not in message


def test_number_of_further_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(and 1 more\)"):
        load(write(tmp_path, "[link]\nport = -1\n"), Whole)


@pytest.mark.parametrize(("text", "line"), [("a = 1\nb = = 2\n", 2), ("a = 1\nb = [1,\n", 2)])
def test_broken_toml(tmp_path: Path, text: str, line: int) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path, Whole)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert str(caught.value).endswith("; correct the TOML syntax")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file or directory; "):
        load(tmp_path / "none.toml", Whole)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path, Whole)
