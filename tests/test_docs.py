"""What the documents say is there is there: commands, options, fields, names, files, links, and the words of errors."""

import ast
import json
import re
import shlex
import tomllib

import pytest

from kakusan import api, config
from kakusan.commands import main
from kakusan.config.models import Training, known_fields
from kakusan.evaluation import judge as judging
from tests.documents import ROOT, blocks, context_of, prose, quoted, resolve, understand

HOUSE = ROOT / "src" / "kakusan"
README, ARCHITECTURE = ROOT / "README.md", ROOT / "docs" / "architecture.md"
CHAPTER = [ROOT / "docs" / "chapter.md", ROOT / "docs" / "chapter.ja.md"]
SCALE = ROOT / "docs" / "scale.md"
DOCUMENTS = [
    README,
    ROOT / "README.ja.md",
    ARCHITECTURE,
    SCALE,
    *CHAPTER,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
]
FILES = (".py", ".yaml", ".json", ".jsonl", ".html", ".md", ".toml", ".txt", ".png", ".safetensors")

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def commands(language: str) -> list[str]:
    """Returns the lines of the README that call kakusan."""
    lines = [line.removeprefix("$ ") for block in blocks(README, language) for line in block.splitlines()]
    return [line for line in lines if line.startswith("kakusan ")]


def chain(node: ast.Attribute) -> str:
    """Returns ``a.b.c`` as written, or nothing where it begins otherwise than with a name."""
    owner = node.value
    before = owner.id if isinstance(owner, ast.Name) else chain(owner) if isinstance(owner, ast.Attribute) else ""
    return f"{before}.{node.attr}" if before else ""


def rooms() -> set[str]:
    """Returns the modules and folders of the house."""
    there = {path for path in HOUSE.iterdir() if path.is_dir() or path.suffix == ".py"}
    return {path.stem for path in there if not path.name.startswith("__")}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A directory with the run that the README speaks of, hardly trained."""
    directory = tmp_path_factory.mktemp("readme")
    tiny = {"network.channels": "8,16", "training.samples_every": 0, "sampling.steps": 2, "sampling.batch": 512}
    api.train("digits", run=directory / "runs/demo", steps=2, device="cpu", overrides=tiny, show=False)
    return directory


@pytest.mark.parametrize("line", commands("sh") + commands("console"))
def test_every_command_and_option_of_the_readme_exists(line):
    understand(line) if line in commands("sh") else context_of(line)


@pytest.mark.parametrize(
    "line", re.findall(r"(?<!-m )(?:-m )?kakusan (?:-- )?(train .*)", "\n".join(blocks(SCALE, "sh")))
)
def test_every_command_of_the_page_on_scale_exists(line):
    understand(f"kakusan {line}") if "$" not in line else None


def test_the_configuration_in_the_readme_is_valid(tmp_path):
    (block,) = blocks(README, "yaml")
    (tmp_path / "photos.yaml").write_text(block, "utf-8")
    assert config.load(tmp_path / "photos.yaml").data.source == "photos"


def test_errors_read_as_the_readme_says(demo, monkeypatch, capsys):
    monkeypatch.chdir(demo)
    (block,) = blocks(README, "console")
    for command, sentence in re.findall(r"^\$ kakusan (.*)\n(kakusan: .*)$", block, re.MULTILINE):
        assert main([*shlex.split(command), *(["--device=cpu"] if command.startswith("sample") else [])]) == 2
        assert capsys.readouterr().err == f"{sentence}\n"


def test_the_demo_ends_as_the_readme_says(monkeypatch, capsys):
    measured = json.loads((ROOT / "benchmarks" / "results" / "demo.json").read_text("utf-8"))
    monkeypatch.setattr("kakusan.studies.demo.demo", lambda *_, **__: measured)
    assert main(["demo"]) == 0
    assert blocks(README, "text") == [capsys.readouterr().out]


def test_the_limits_in_the_readme_are_those_of_the_fields():
    text = README.read_text("utf-8")
    assert f"more than {100 * known_fields('data')['max_broken'].default:g} % of them (`--data.max_broken`)" in text
    assert f"the latest {known_fields('training')['keep'].default} (--training.keep)" in text


def test_the_python_of_the_readme_runs_from_top_to_bottom(demo, monkeypatch):
    monkeypatch.chdir(demo)
    monkeypatch.setattr(judging, "user_cache_path", lambda name: demo / "cache")
    monkeypatch.setattr(judging, "Training", lambda **given: Training(**{**given, "images": 2000}))
    script = re.sub(r"steps=\d+", "steps=2", "\n".join(blocks(README, "python")))
    names: dict[str, object] = {}
    exec(compile(script, str(README), "exec"), names)
    assert names["result"].protocol["n"] == 898
    assert names["images"].shape == (4, 1, 8, 8)


@every_document
def test_every_name_in_python_blocks_can_be_imported(document):
    for block in blocks(document, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("kakusan"):
                for alias in node.names:
                    resolve(f"{node.module}.{alias.name}")
            if isinstance(node, ast.Attribute) and chain(node).startswith("kakusan."):
                resolve(chain(node))


@every_document
def test_every_dotted_name_is_in_the_house(document):
    for name in quoted(prose(document)):
        dotted = re.fullmatch(r"((\w+)(?:\.\w+)+)(?:\(\))?", name)
        if dotted is None or name.endswith(FILES):
            continue
        if dotted[2] == "kakusan":
            resolve(dotted[1])
        elif dotted[2] in rooms():
            resolve(f"kakusan.{dotted[1]}")


@every_document
def test_every_source_file_and_folder_exists(document):
    for name in quoted(prose(document)):
        if re.fullmatch(r"[\w./]+(\.py|/)", name) and not name.startswith(
            ("RUN/", "runs/", "checkpoints/", "samples/")
        ):
            assert (HOUSE / name).exists() or (ROOT / name).exists() or (ROOT / "src" / name).exists(), name


@every_document
def test_every_relative_link_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


@every_document
def test_every_make_target_exists(document):
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony is not None
    for target in re.findall(r"(?:^|`)\s*make ([a-z-]+)", document.read_text("utf-8"), re.MULTILINE):
        assert target in phony[1].split()


def test_every_room_is_described():
    table = re.findall(r"^\| `([\w/.]+)` \|", ARCHITECTURE.read_text("utf-8"), re.MULTILINE)
    assert {name.removesuffix(".py").removesuffix("/") for name in table} == rooms()


def test_the_layers_are_those_of_the_contract():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    layers = [[name.strip(" ()") for name in layer.split("|")] for layer in contract["layers"]]
    built = [[name for name in layer if name in rooms() | {"__main__"}] for layer in layers]
    (block,) = blocks(ARCHITECTURE, "text")
    assert block.splitlines() == [" | ".join(layer) for layer in built if layer]
