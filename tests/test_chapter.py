"""What the companion to the chapter says is there is there, what it says is not yet there is not, in both languages."""

import inspect
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.functional import normalize

from kakusan import schedules
from kakusan.commands import main
from kakusan.networks import SimpleUNet
from kakusan.networks.embeddings import sinusoidal_embedding
from tests import textbook
from tests.documents import ROOT, blocks, cells, prose, quoted, resolve, rows, understand

PAGES = {"en": ROOT / "docs" / "chapter.md", "ja": ROOT / "docs" / "chapter.ja.md"}
NOT_YET = {"en": "not yet", "ja": "未対応"}
IN_THE_REPORT = {"en": r"report, \*([^*]+)\*", "ja": r"レポート「([^」]+)」"}
SUBSECTIONS = {"4.1": 0, "4.2": 3, "4.3": 3, "4.4": 2, "4.5": 4, "4.6": 2, "4.7": 0}
# The functions, classes and scripts of the chapter's listings.
LISTED = {
    "4.1": ["sample_data", "forward_diffusion"],
    "4.2.2": ["linear_beta_schedule", "cosine_beta_schedule", "quadratic_beta_schedule", "compute_alphas_cumprod"],
    "4.2.3": ["DDPMDiffusion", "q_sample", "p_losses", "p_sample", "p_sample_loop"],
    "4.3.2": ["SinusoidalPositionEmbeddings", "TimeEmbeddingMLP"],
    "4.3.3": ["ResidualBlock", "SimpleUNet"],
    "4.4.1": ["train_ddpm", "sample_images"],
    "4.4.2": ["ddim_sample"],
    "4.5.4": ["classifier_free_guidance"],
    "4.6.1": ["train_cifar10_ddpm.py"],
    "4.6.2": ["LoRAAttnProcessor", "AttnProcsLayers", "DPMSolverMultistepScheduler"],
}

in_every_language = pytest.mark.parametrize("lang", PAGES)


def there(lang: str) -> list[str]:
    """Returns what is quoted as being there: all but what follows "not yet" in a cell of a table."""
    text = prose(PAGES[lang])
    for cell in cells(PAGES[lang]):
        text = text.replace(cell, cell.partition(NOT_YET[lang])[0])
    return quoted(text)


def not_yet(lang: str) -> list[str]:
    """Returns the commands that are promised."""
    return [name for cell in cells(PAGES[lang]) for name in quoted(cell.partition(NOT_YET[lang])[2])]


def calls(names: list[str]) -> list[str]:
    """Returns those that call kakusan."""
    return [name for name in names if name.startswith("kakusan ")]


def scripts(names: list[str]) -> list[str]:
    """Returns the examples that are named or run."""
    named = [name.removeprefix("python ").split()[0] for name in names]
    return [name for name in named if name.startswith("examples/") and name.endswith(".py")]


def linked(cell: str) -> list[Path]:
    """Returns the files that a cell links to, under the names that they have in the house."""
    links = re.findall(r"\[([^]]+)\]\(([^)]+)\)", cell)
    assert all(target == f"../src/kakusan/{name}" for name, target in links)
    return [ROOT / "src" / "kakusan" / name for name, _ in links]


def home(name: str, files: list[Path]) -> Path | None:
    """Returns in which of some files the thing lives that is named as one would write it there, or in full."""
    if name.startswith("kakusan."):
        return Path(inspect.getfile(resolve(name)))
    for file in files:
        module = import_module(".".join(file.relative_to(ROOT / "src").with_suffix("").parts))
        thing = vars(module).get(re.split(r"\W", name)[0])
        if getattr(thing, "__module__", None) == module.__name__:
            eval(name, {}, vars(module))
            return file
    return None


@in_every_language
def test_every_name_can_be_imported(lang):
    for name in quoted(prose(PAGES[lang])):
        if name.startswith("kakusan."):
            resolve(name)


@in_every_language
def test_every_row_has_its_command_its_file_and_what_it_shows(lang):
    assert len(rows(PAGES[lang])) > 60
    for chapter, here, command, shows in rows(PAGES[lang]):
        there_is = command.partition(NOT_YET[lang])[0]
        assert chapter
        assert calls(quoted(command)) or scripts(quoted(command)) or command == NOT_YET[lang]
        assert bool(here) == bool(linked(here)) == bool(quoted(here))
        assert here or not there_is
        assert bool(shows) == bool(there_is)


@in_every_language
def test_every_name_lives_in_the_file_beside_it(lang):
    named = [(name, linked(here)) for _, here, *_ in rows(PAGES[lang]) for name in quoted(here)]
    assert len(named) > 50
    for name, files in named:
        assert home(name, files) in files, name


@in_every_language
def test_every_listing_of_the_chapter_has_a_row(lang):
    for section, names in LISTED.items():
        part = PAGES[lang].read_text("utf-8").partition(f"\n## {section[:3]} ")[2].partition("\n## ")[0]
        firsts = re.findall(r"^\|([^|]*)\|", part, re.MULTILINE)
        own = [cell for cell in firsts if section == "4.1" or cell.startswith(f" {section} ")]
        assert set(names) <= {name.split()[0] for cell in own for name in quoted(cell)}, section


@in_every_language
def test_every_example_is_there_and_has_its_place(lang):
    examples = {str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*.py")}
    assert set(scripts(there(lang))) == examples
    assert not examples & set(scripts(not_yet(lang)))


@in_every_language
def test_every_command_is_understood(lang):
    assert len(calls(there(lang))) > 20
    for line in calls(there(lang)):
        understand(line)


@in_every_language
def test_every_command_explains_itself(lang, capsys):
    for verb in {shlex.split(line)[1] for line in calls(there(lang))}:
        assert main([verb, "--help"]) == 0
        assert f"kakusan {verb}" in capsys.readouterr().out


@in_every_language
def test_what_is_promised_is_not_there_yet(lang):
    """So that whoever builds it moves it to what is there."""
    assert len(calls(not_yet(lang))) + len(scripts(not_yet(lang))) == len(not_yet(lang)) > 0
    for line in calls(not_yet(lang)):
        with pytest.raises(Exception, match=r"unknown|No such|no such|unexpected"):
            understand(line)


@in_every_language
def test_every_section_of_the_report_has_that_heading(lang):
    catalogue = ROOT / "src" / "kakusan" / "reporting" / "languages" / f"{lang}.yaml"
    blocks = yaml.safe_load(catalogue.read_text("utf-8")).values()
    headings = {text for block in blocks for key, text in block.items() if key.startswith("heading")}
    named = re.findall(IN_THE_REPORT[lang], PAGES[lang].read_text("utf-8"))
    assert len(named) > 10
    assert set(named) <= headings


@in_every_language
def test_every_section_and_exercise_has_a_row(lang):
    text = PAGES[lang].read_text("utf-8")
    assert re.findall(r"^## (4\.\d) ", text, re.MULTILINE) == list(SUBSECTIONS)
    rows = {f"{section}.{i}" for section, count in SUBSECTIONS.items() for i in range(1, count + 1)}
    assert set(re.findall(r"^\| (4\.\d\.\d) ", text, re.MULTILINE)) == rows
    exercises = {"en": "## Exercises", "ja": "## 演習問題"}[lang]
    assert re.findall(r"^\| (4\.\d) ", text.partition(exercises)[2], re.MULTILINE) == [f"4.{i}" for i in range(1, 7)]


@in_every_language
def test_the_errata_give_the_numbers_of_the_library(lang):
    text = " ".join(PAGES[lang].read_text("utf-8").split())
    linear, cosine, quadratic = schedules.linear(), schedules.cosine(), schedules.quadratic()
    bars = [f"{linear.alphas_cumprod[index]:.3g}" for index in (100, 300, 500, 700, 999)]
    assert f"{linear.alphas_cumprod[0]:.4g}" == "0.9999"
    for number in (
        *("0.9999", *bars),
        f"{cosine.betas.min():.3g}",
        f"{quadratic.alphas_cumprod[-1]:.3g}",
        f"{schedules.linear(50).alphas_cumprod[-1]:.2f}",
        f"{schedules.linear(50, 0.002, 0.4).alphas_cumprod[-1]:.3g}",
        f"{sum(parameter.numel() for parameter in SimpleUNet().parameters()):,}",
        f"{sum(parameter.numel() for parameter in SimpleUNet(base_channels=128).parameters()):,}",
    ):
        assert number in text, number


@in_every_language
def test_the_tables_show_the_numbers_of_the_library(lang):
    text = " ".join(shows for *_, shows in rows(PAGES[lang]))
    linear, cosine, quadratic = schedules.linear(), schedules.cosine(), schedules.quadratic()
    waves = normalize(sinusoidal_embedding(torch.tensor([0, 100]), 128))
    for number in (
        *(f"{chain.alphas_cumprod[-1]:.3g}" for chain in (linear, cosine, quadratic)),
        *(f"{beta:.3g}" for beta in (linear.betas[0], linear.betas[-1], cosine.betas.min(), cosine.betas.max())),
        f"{textbook.DDPM(linear.betas).posterior_variance[500]:.5f}",
        f"{linear.betas[500]:.5f}",
        f"{linear.alphas_cumprod[300]:.3g}",
        f"{waves[0] @ waves[1]:.3f}",
        f"{4 * sum(parameter.numel() for parameter in SimpleUNet().parameters()) / 1e6:.1f} MB",
    ):
        assert number in text, number


@in_every_language
def test_a_textbooks_model_is_sampled_as_the_page_says(lang):
    (block,) = blocks(PAGES[lang], "python")
    names = {"model": textbook.UNet(3, 32, 8), "betas": schedules.linear().betas}
    exec(re.sub(r"steps=\d+", "steps=2", block), names)
    assert names["images"].shape == (16, 3, 32, 32)
