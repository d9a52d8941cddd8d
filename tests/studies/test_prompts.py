"""The study of prompts: every picture is what generate draws, drawn once whatever happens, and scored as it is."""

import csv
import re
from functools import cache

import pytest
import torch

from kakusan import adapters, api, pictures, stable_diffusion
from kakusan.commands import main
from kakusan.errors import KakusanError
from kakusan.pictures import from_uint8, read_metadata, to_uint8
from kakusan.results import Value
from kakusan.runs import LORA
from kakusan.shapes import Scene, Thing, draw
from kakusan.stable_diffusion import Request
from kakusan.studies.conduct import conduct
from kakusan.studies.experiments.prompts import best
from kakusan.studies.gallery import Gallery
from kakusan.studies.grid import Grid
from kakusan.trials import Trial

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.pipelines import pipeline, saved

RED = Scene((Thing("circle", "red", "large", 0.5, 0.5),), "white")
BLUE = Scene((Thing("square", "blue", "large", 0.5, 0.5),), "white")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    return saved("sd15", place / "one"), saved("sd15", place / "two", seed=1)


@pytest.fixture(scope="module")
def lora(models, tmp_path_factory):
    """An adapter of random weights, where a run leaves one."""
    from peft import LoraConfig, get_peft_model_state_dict

    pipe = pipeline("sd15")
    pipe.unet.add_adapter(LoraConfig(r=2, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False))
    place = tmp_path_factory.mktemp("lora") / "outlines"
    pipe.save_lora_weights(place, unet_lora_layers=get_peft_model_state_dict(pipe.unet))
    return place / LORA


@pytest.fixture
def grid(models):
    def made(**axes):
        given = {"prompts": ("a red circle",), "models": (str(models[0]),), "steps": (2,), "n": 2, "clip": None}
        return Grid(**{**given, **axes})

    return made


@pytest.fixture
def gallery(tmp_path):
    def made(grid):
        return Gallery(tmp_path / "study", "prompts", "grid.yaml", grid, show=False)

    return made


@pytest.fixture
def drawn(monkeypatch):
    """How many pictures were drawn, setting by setting."""
    counts = []
    chunks = stable_diffusion.Generation.chunks

    def counted(self, *arguments):
        counts.append(self.request.n)
        return chunks(self, *arguments)

    monkeypatch.setattr(stable_diffusion.Generation, "chunks", counted)
    return counts


@cache
def _opened(model):
    return stable_diffusion.opened(model)


def plainly(model, prompt="a red circle", worn=(), **how):
    opened = _opened(str(model))
    adapters.load_into(opened.pipe, worn)
    request = Request((prompt,), **{"n": 2, "steps": 2, **how})
    return to_uint8(stable_diffusion.generated(stable_diffusion.asked(opened, request)))


def test_every_picture_is_what_generate_draws(gallery, grid, models):
    how = {"negatives": (None, "a green star"), "guidance": (2, 5), "schedulers": ("ddim", "euler"), "seed": 7}
    walls = gallery(grid(prompts=("a red circle", "a blue square"), **how, height=24, width=16)).walls
    assert len(walls) == 16
    for wall in walls[::5]:
        it = wall.setting
        told = {"negative": it.negative, "guidance": it.values["guidance"], "scheduler": it.values["schedulers"]}
        expected = plainly(models[0], it.prompt, seed=7, height=24, width=16, **told)
        assert torch.equal(wall.pictures, expected)
        inside = read_metadata(wall.files[1])
        assert {**told, "prompt": it.prompt, "index": 1, "seed": 7, "model": "one"}.items() <= inside.items()
    assert len({file for wall in walls for file in wall.files}) == 32


def test_models_and_adapters_draw_each_for_itself(gallery, grid, models, lora):
    loras = ((f"{lora}:0",), (), (str(lora),))
    walls = gallery(grid(models=tuple(map(str, models)), loras=loras, guidance=(3,))).walls
    found = {it.setting.drawer: it.pictures for it in walls}
    for model in models:
        plain, whole = plainly(model, guidance=3), plainly(model, guidance=3, worn=[(lora, 1)])
        assert torch.equal(found[str(model), ()], plain)
        assert torch.equal(found[str(model), loras[0]], plain)
        assert torch.equal(found[str(model), loras[2]], whole)
        assert not torch.equal(plain, whole)
    assert not torch.equal(found[str(models[0]), ()], found[str(models[1]), ()])


def test_at_guidance_1_pictures_of_all_negatives_are_one(gallery, grid, drawn):
    walls = gallery(grid(negatives=(None, "a green star"), guidance=(1, 3))).walls
    files = {(it.setting.values["guidance"], it.setting.values["negatives"]): it.files for it in walls}
    assert files[1, None] == files[1, "a green star"]
    assert files[3, None] != files[3, "a green star"]
    assert drawn == [2, 2, 2]


def test_what_was_interrupted_goes_on_and_draws_nothing_twice(gallery, grid, drawn, monkeypatch):
    asked, save = grid(guidance=(2, 3, 4)), pictures.save
    with monkeypatch.context() as patch:

        def stopped(path, *rest):
            if len(drawn) == 2:
                raise KeyboardInterrupt
            save(path, *rest)

        patch.setattr(pictures, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            _ = gallery(asked).walls
    there = {file: file.stat().st_mtime_ns for file in gallery(asked).path.glob("pictures/*.png")}
    assert len(there) == 2
    drawn.clear()
    walls = gallery(asked).walls
    assert drawn == [2, 2]
    assert all(file.stat().st_mtime_ns == time for file, time in there.items())
    drawn.clear()
    assert [wall.files for wall in gallery(asked).walls] == [wall.files for wall in walls]
    assert drawn == []


def test_a_grid_that_grows_draws_what_is_new(gallery, grid, drawn):
    _ = gallery(grid(guidance=(2, 3))).walls
    drawn.clear()
    _ = gallery(grid(guidance=(2, 2.5, 3))).walls
    assert drawn == [2]


def test_all_can_be_had_before_anything_is_drawn(gallery, grid, models, drawn, tmp_path):
    good = str(models[0])
    for axes, sentence in (
        ({"models": (good, "nowhere")}, "there is no model nowhere"),
        ({"loras": ((), ("nowhere.safetensors",))}, "nowhere.safetensors"),
        ({"clip": "nowhere"}, "nowhere"),
        ({"height": 20}, "height must be a multiple of 8"),
        ({"steps": (2, 2000)}, "steps must be at most 1000"),
    ):
        with pytest.raises(KakusanError, match=re.escape(sentence)):
            _ = gallery(grid(**axes)).walls
    assert drawn == []
    assert not (tmp_path / "study" / "pictures").exists()


def test_the_clip_score_is_the_cosine_of_the_middle_with_the_prompt(gallery, grid, monkeypatch):
    clip = api.load_clip("mini")
    shown = gallery(grid(prompts=("a red circle",), clip="mini", height=32, width=48, guidance=(2, 3)))
    scores = shown.scores()
    for wall in shown.walls:
        middle = from_uint8(wall.pictures)[..., 8:40]
        cosines = clip.agreement(middle, [wall.setting.prompt] * 2)
        for file, cosine in zip(wall.files, cosines.tolist(), strict=True):
            assert scores[file.name] == pytest.approx(max(0, 100 * cosine), abs=1e-4)
    monkeypatch.setattr(type(clip), "agreement", lambda *_: pytest.fail("it is scored already"))
    assert gallery(shown.grid).scores() == scores


@pytest.fixture
def painted(tmp_path, grid, monkeypatch):
    """A study by mini in which pictures at guidance 1 are just what was asked for, and all others something else."""
    monkeypatch.setattr(stable_diffusion.Generation, "chunks", _painted)
    text = (
        "{prompts: [a red circle, a blue square], guidance: [3, 1], negatives: [null, a star], steps: [1], n: 12, "
        "rows: prompts, columns: guidance}"
    )
    (tmp_path / "grid.yaml").write_text(text)
    return lambda: conduct("prompts", preset=str(tmp_path / "grid.yaml"), path=tmp_path / "study", show=False)


def _painted(generation):
    prompt, good = generation.request.prompts[0], generation.guidance == 1
    shown = draw(RED if (prompt == "a red circle") == good else BLUE, 32)
    yield range(generation.request.n), from_uint8(shown).expand(generation.request.n, -1, -1, -1)


def test_the_settings_that_do_best_are_named(painted):
    found, _ = painted()
    sheet, settings, words, guidance = found.parts
    assert [it.name for it in settings.trials[:2]] == [
        "negatives = ∅ · guidance = 1",
        "negatives = a star · guidance = 1",
    ]
    first, last = settings.trials[0].values, settings.trials[-1].values
    assert (first["prompts"].value, last["prompts"].value) == (1, 0)
    assert first["prompts"] == Value.of_share(1, 24)
    assert first["clip"].value > last["clip"].value
    assert first["clip"].interval is not None
    assert first["n"].value == 24
    assert [it.key for it in found.finding] == ["study.prompts.alike", "study.prompts.alike"]
    assert found.finding[0].values["best"] == "negatives = ∅ · guidance = 1"
    assert found.finding[0].values["alike"] == 1
    assert [it.values["guidance"].value for it in guidance.trials] == [1, 3]
    assert guidance.finding.key == "study.prompts.best"
    assert guidance.trials[0].values["n"].value == 24  # with either negative the same 12 of each prompt
    # Of 36 pictures of a prompt those 12 are right that both negatives share; of 48 with either negative 24.
    assert [it.values["prompts"].value for it in words.trials] == [1 / 3, 1 / 3, 1 / 2, 1 / 2]
    assert [it.values["n"].value for it in words.trials] == [36, 36, 48, 48]
    assert len(sheet.sheets) == 2
    assert [[it.shape for it in row] for row in sheet.sheets[0].pictures] == [[(4, 3, 32, 32)] * 2] * 2
    for row, thing in enumerate((RED, BLUE)):
        assert torch.equal(to_uint8(sheet.sheets[0].pictures[row][1][0]), draw(thing, 32))


def test_the_page_and_the_table_hold_what_was_found(painted):
    found, path = painted()
    page = (path / "report.html").read_text("utf-8")
    assert page.count('<div class="table sheet">') == 2
    assert len(re.findall(r'<td><img src="data:image/png', page)) == 8
    rows = [row for row in csv.DictReader((path / "table.csv").open()) if row["part"] == "settings"]
    assert [(row["trial"], row["quantity"]) for row in rows] == [
        (trial.name, name) for trial in found.parts[1].trials for name in ("prompts", "clip", "n")
    ]
    again, _ = painted()
    assert again.finding == found.finding


def test_the_verifier_says_nothing_of_what_it_does_not_understand(gallery, grid, monkeypatch):
    monkeypatch.setattr(stable_diffusion.Generation, "chunks", _painted)
    mini = {"models": ("mini",), "guidance": (3,), "steps": (1,)}
    assert len(gallery(grid(prompts=("a red circle",), **mini)).verdicts()) == 2
    assert gallery(grid(prompts=("a red circle", "an astronaut"), **mini)).verdicts() == {}
    assert gallery(grid(prompts=("a red circle",))).verdicts() == {}  # random weights learned from no scenes


def test_models_that_draw_in_other_sizes_hang_side_by_side(models, tmp_path):
    small = saved("sd15", tmp_path / "small", sample_size=4)
    text = f"{{prompts: [a star], models: [{models[0]}, {small}], steps: [1], n: 2, clip: mini}}"
    (tmp_path / "grid.yaml").write_text(text)
    found, _ = conduct("prompts", preset=str(tmp_path / "grid.yaml"), path=tmp_path / "study", show=False)
    ((one,), (two,)) = found.parts[0].sheets[0].pictures
    assert (one.shape[-2:], two.shape[-2:]) == ((16, 16), (8, 8))
    for trial in found.parts[1].trials:
        low, high = trial.values["clip"].interval
        assert 0 <= low <= trial.values["clip"].value <= high <= 100


def test_prompts_alone_are_compared_with_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(stable_diffusion.Generation, "chunks", _painted)
    text = "{prompts: [a red circle, a blue square], guidance: [1], steps: [1], n: 2}"
    (tmp_path / "grid.yaml").write_text(text)
    found, _ = conduct("prompts", preset=str(tmp_path / "grid.yaml"), path=tmp_path / "study", show=False)
    assert found.finding[0].key == "study.prompts.level"
    assert found.finding[0].values["best"].startswith("prompts = ")
    assert found.parts[0].finding.values == {"pictures": 4, "prompts": 2, "settings": 1, "n": 2}


def trial(name, low, high):
    return Trial(name=name, values={"prompts": Value(value=(low + high) / 2, interval=(low, high))})


@pytest.mark.parametrize(
    ("trials", "kind", "alike"),
    [
        ([trial("a", 0.5, 0.6)], "one", None),
        ([trial("b", 0.1, 0.2), trial("a", 0.5, 0.6)], "best", 0),
        ([trial("b", 0.1, 0.2), trial("c", 0.4, 0.55), trial("a", 0.5, 0.6)], "alike", 1),
        ([trial("b", 0.1, 0.52), trial("c", 0.4, 0.55), trial("a", 0.5, 0.6)], "level", 2),
    ],
)
def test_the_best_is_best_as_far_as_doubt_allows(trials, kind, alike):
    told = best(trials, ["prompts"])
    assert told.key == f"study.prompts.{kind}"
    assert told.values["best"] == "a"
    assert told.values.get("alike") == alike
    if len(trials) > 1:
        assert told.values["last"] == "b"


def test_a_long_name_keeps_its_ends():
    told = best([trial("prompts = " + "very " * 40 + "detailed", 0.1, 0.2)], ["prompts"])
    assert re.fullmatch(r"prompts = very .* … .* very detailed", told.values["best"])
    assert len(told.values["best"]) < 100


def test_the_command_says_how_to_go_on(tmp_path, models, capsys, monkeypatch):
    file = tmp_path / "my grid.yaml"
    file.write_text(f"{{prompts: [a circle, a star], models: [{models[0]}], steps: [1], n: 1}}")
    save = pictures.save

    def stopped(path, *rest):
        if "star" in path.name:
            raise KeyboardInterrupt
        save(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "save", stopped)
        assert main(["study", "prompts", str(file), "--run", str(tmp_path / "out")]) == 130
    assert f"go on: kakusan study prompts '{file}' --run {tmp_path / 'out'})" in capsys.readouterr().err
    assert main(["study", "prompts", str(file), "--run", str(tmp_path / "out"), "--lang", "en"]) == 0
    assert capsys.readouterr().out.startswith("No CLIP was there to score them.\n2 pictures: 2 prompts at 1 setting")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "is done on a file of prompts (kakusan study prompts FILE.yaml)"),
        ("none.yaml", "none.yaml cannot be read: No such file or directory"),
        ("{file} --budget full", "trains nothing: its file says all"),
        ("{file} --training.images 8", "trains nothing: its file says all"),
        ("{file} --preset digits", "not on both"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(arguments, sentence, tmp_path, capsys):
    (tmp_path / "grid.yaml").write_text("prompts: [a]")
    given = arguments.format(file=tmp_path / "grid.yaml").split()
    assert main(["study", "prompts", *given, "--run", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
