"""Commands and configurations as the documents show them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_command

from tactic.app import app
from tactic_codec.config import load
from tactic_device.config import DeviceConfig
from tactic_gateway.config import GatewayConfig

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "*/*.md", "docs/*/*.md")
    for path in ROOT.glob(pattern)
    if not path.is_relative_to(ROOT / "out")
)
MODELS: dict[str, type[BaseModel]] = {"device.toml": DeviceConfig, "gateway.toml": GatewayConfig}


def blocks(path: Path) -> list[tuple[str, str]]:
    """Language and text of every code block."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found]


def commands() -> list[tuple[str, str]]:
    """Every command line that runs tactic, with its document."""
    found = []
    for path in DOCUMENTS:
        for language, text in blocks(path):
            if language in {"", "sh", "bash", "console", "text"}:
                joined = text.replace("\\\n", " ")
                found += [
                    (path.relative_to(ROOT).as_posix(), match[1])
                    for match in re.finditer(
                        r"^(?:\$ |sudo )?(?:\w+=\S+ )*(?:[\w./ -]*-m |[\w./]+/)?tactic +(.*)$",
                        joined,
                        re.MULTILINE,
                    )
                ]
    return found


def parse(arguments: list[str]) -> None:
    """Raise UsageError where the command line would; run nothing."""
    command = get_command(app)
    context = typer.Context(command, info_name="tactic")
    while isinstance(command, TyperGroup):
        name, command_found, arguments = command.resolve_command(context, arguments)
        assert command_found is not None
        command = command_found
        context = typer.Context(command, info_name=name, parent=context)
    if "--help" not in arguments:
        command.parse_args(context, arguments)


@pytest.mark.parametrize(("document", "line"), commands())
def test_every_command_line_parses(document: str, line: str) -> None:
    if line != "--help":
        parse(shlex.split(line, comments=True))


def test_every_command_is_documented() -> None:
    text = "".join(path.read_text() for path in DOCUMENTS)
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        if isinstance(command, TyperGroup):
            names = [f"tactic {name} {child}" for child in command.commands]
        else:
            names = [f"tactic {name}"]
        assert all(each in text for each in names), names
        assert command.help


def test_every_help_works(capsys: pytest.CaptureFixture[str]) -> None:
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    paths = [[], *([name] for name in root.commands)]
    for name, command in root.commands.items():
        if isinstance(command, TyperGroup):
            paths += [[name, child] for child in command.commands]
    for path in paths:
        with pytest.raises(SystemExit) as end:
            root.main([*path, "--help"], prog_name="tactic")
        assert end.value.code == 0
        assert "Usage: tactic" in capsys.readouterr().out


def configurations() -> list[tuple[str, str, str]]:
    """What the documents write into device.toml and gateway.toml: (document, file, text)."""
    found = []
    for path in DOCUMENTS:
        for language, text in blocks(path):
            document = path.relative_to(ROOT).as_posix()
            pattern = r"cat > \S*?(device|gateway)\.toml <<'(\w+)'\n(.*?)^\2$"
            for match in re.finditer(pattern, text, re.MULTILINE | re.DOTALL):
                found.append((document, f"{match[1]}.toml", match[3]))
            if language == "toml" and re.search(r"^\[(node|gateway)\]", text, re.MULTILINE):
                name = "device.toml" if "[node]" in text else "gateway.toml"
                found.append((document, name, text))
    return found


@pytest.mark.parametrize(("document", "name", "text"), configurations())
def test_every_configuration_loads(document: str, name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    load(tmp_path / name, MODELS[name])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_example_loads(name: str) -> None:
    room = name.removesuffix(".toml")
    load(ROOT / room / f"{room}.example.toml", MODELS[name])


def anchors(path: Path) -> set[str]:
    """What GitHub makes of the headings."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_links_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if "://" in target or target.startswith("mailto:"):
                continue
            name, _, anchor = target.partition("#")
            other = path.parent / name if name else path
            assert other.exists(), f"{path}: {target}"
            if anchor and other.suffix == ".md":
                assert anchor in anchors(other), f"{path}: {target}"


@pytest.mark.usefixtures("data")
def test_aerial_scenes_are_split_as_their_data_set_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = [
        text for language, text in blocks(ROOT / "docs/satellite.md") if language == "python"
    ]
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    photos = tmp_path / "out/aerial/photos"
    assert [len([*photos.glob(f"{split}/?*/*.jpg")]) for split in ("train", "val")] == [2240, 560]
