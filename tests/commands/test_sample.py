"""Pictures from the command line: what is drawn, what they say of themselves, and that they can be drawn again."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image

from kakusan import api, pictures
from kakusan.commands import stamp as stamps
from kakusan.commands.options import FILM_IMAGES
from kakusan.commands.stamp import Sampled
from kakusan.config.names import GRIDS, SAMPLERS
from kakusan.config.wording import either
from kakusan.sampling import Plan
from tests.commands.conftest import files
from tests.test_files import a_disk_that_holds

DRAW = ("--steps=3", "--device=cpu", "-o", "out")


def numbered(n):
    return [f"{i:04d}.png" for i in range(n)]


def pixels(path):
    return list(Image.open(path).tobytes())


@pytest.fixture
def drawn(kakusan, run, tmp_path):
    """Six pictures in chunks of four, with randomness at every step."""
    assert kakusan("sample", run, "-n6", "--labels=3,5", "--eta=1", "--guidance=2", "--seed=7", *DRAW).status == 0
    return tmp_path / "out"


def test_pictures_are_those_that_python_draws(kakusan, run, drawn):
    model = api.load(run, device="cpu")
    images = api.sample(model, 6, steps=3, eta=1.0, guidance_scale=2.0, labels=[3, 5] * 3, seed=7)
    assert files(drawn) == [*numbered(6), "grid.png"]
    for name, image in zip(numbered(6), pictures.to_uint8(images), strict=True):
        assert pixels(drawn / name) == image.flatten().tolist()


def test_the_grid_holds_the_pictures_a_column_a_label(drawn):
    """Tiny pictures are enlarged in it, each pixel to a square."""
    grid = Image.open(drawn / "grid.png")
    assert grid.size == (8 * (2 * 8 + 1), 8 * (3 * 8 + 2))
    grid = grid.resize((2 * 8 + 1, 3 * 8 + 2), Image.Resampling.NEAREST)
    assert list(grid.crop((9, 0, 17, 8)).tobytes()) == pixels(drawn / "0001.png")


def test_every_picture_says_all_of_how_it_was_drawn_and_no_path(run, drawn):
    stamp = stamps.read(drawn / "0004.png", stamps.Sampled)
    assert (stamp.run, stamp.checkpoint, stamp.weights_from, stamp.device) == ("tiny", 16, "ema", "cpu")
    assert (stamp.seed, stamp.n, stamp.index, stamp.labels) == (7, 6, 4, (3, 5))
    assert stamp.weights == api.load(run, device="cpu").weights_hash
    assert None not in stamp.sampling.model_dump().values()
    assert (stamp.sampling.steps, stamp.sampling.eta, stamp.sampling.guidance, stamp.sampling.batch) == (3, 1, 2, 4)
    assert "/" not in json.dumps(pictures.read_metadata(drawn / "0004.png"))


@pytest.mark.parametrize("name", ["0000.png", "0003.png", "0004.png"])
def test_a_picture_is_drawn_again_bit_for_bit(kakusan, run, drawn, tmp_path, name):
    assert kakusan("sample", run, "--like", drawn / name, "-o", "again").status == 0
    assert files(tmp_path / "again") == [name]
    assert (tmp_path / "again" / name).read_bytes() == (drawn / name).read_bytes()


def test_a_grid_is_drawn_again_with_all_its_pictures(kakusan, run, drawn, tmp_path):
    assert kakusan("sample", run, "--like", drawn / "grid.png", "-o", "again").status == 0
    assert files(tmp_path / "again") == files(drawn)
    assert all((tmp_path / "again" / name).read_bytes() == (drawn / name).read_bytes() for name in files(drawn))


def test_a_picture_chooses_the_checkpoint_and_weights_it_needs(kakusan, run, tmp_path):
    kakusan("sample", run, "-n2", "--checkpoint=8", "--weights-from=raw", *DRAW)
    answer = kakusan("sample", run, "--like", "out/0001.png", "-o", "again")
    assert "raw weights of tiny after 8 images" in answer.err
    assert (tmp_path / "again" / "0001.png").read_bytes() == (tmp_path / "out" / "0001.png").read_bytes()


def test_a_picture_of_other_weights_is_not_drawn_again(kakusan, run, drawn, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    checkpoints = other / "checkpoints"
    shutil.copy(checkpoints / "0000008" / "ema.safetensors", checkpoints / "0000016" / "ema.safetensors")
    sentence = kakusan("sample", "other", "--like", drawn / "0001.png", "-o", "again").check_refused()
    assert "was drawn with other weights" in sentence
    assert "it needs the run tiny, checkpoint 16, ema weights with the SHA-256" in sentence
    shutil.rmtree(checkpoints / "0000016")
    assert "other holds no checkpoint at 16 images" in kakusan("sample", "other", "--like=out/0001.png").check_refused()
    assert files(tmp_path) == ["other", "out"]


def test_a_picture_whose_checkpoint_was_removed_says_so_and_how_to_keep_the_next(kakusan, run, drawn, tmp_path):
    shutil.copytree(run, tmp_path / "mine")
    assert kakusan("train", "--resume=mine", "--steps=3", "--training.keep=1").status == 0
    sentence = kakusan("sample", "mine", "--like=out/0001.png", "-o", "again").check_refused()
    assert sentence == (
        "out/0001.png was drawn by tiny after 16 images, and mine holds no checkpoint at 16 images (there are 24); "
        "training on removes all checkpoints but the latest, and with them such pictures' weights "
        "(go on with a larger --training.keep)"
    )
    assert not (tmp_path / "again").exists()


def test_a_picture_of_another_writer_is_refused(kakusan, run, tmp_path):
    pictures.save(tmp_path / "a.png", torch.zeros(1, 8, 8), {"kakusan": "0.0.1", "seed": 0})
    assert "it was written by kakusan 0.0.1" in kakusan("sample", run, "--like", "a.png").check_refused()
    pictures.save(tmp_path / "a.png", torch.zeros(1, 8, 8))
    assert "a.png holds no settings of kakusan" in kakusan("sample", run, "--like", "a.png").check_refused()


def test_the_film_strip_shows_how_the_first_pictures_emerge(kakusan, run, tmp_path):
    kakusan("sample", run, "-n10", "--steps=20", "--batch=9", "--trajectory", "--out=out", "--device=cpu")
    film = Image.open(tmp_path / "out" / "trajectory.png")
    assert film.size == (8 * (12 * 9 - 1), 8 * (8 * 9 - 1))
    film = film.resize((12 * 9 - 1, 8 * 9 - 1), Image.Resampling.NEAREST)
    last = film.crop((11 * 9, 7 * 9, 12 * 9 - 1, 8 * 9 - 1))
    assert list(last.tobytes()) == pixels(tmp_path / "out" / "0007.png")


@pytest.fixture
def clip(kakusan, tmp_path):
    """The run of a CLIP of grey pictures of 8×8."""
    (tmp_path / "captioned").mkdir()
    for index in range(24):
        Image.new("L", (8, 8), 10 * index).save(tmp_path / "captioned" / f"{index}.png")
        (tmp_path / "captioned" / f"{index}.txt").write_text(("a dark one", "a bright one")[index > 11])
    small = ("--network.width=8", "--network.image_width=8", "--network.image_layers=1", "--network.image_heads=1")
    small += ("--text.width=8", "--text.layers=1", "--text.heads=1", "--data.held_out=0", "--training.batch_size=8")
    how = ("--data.source=captioned", "--run=clip", "--steps=2", "--training.samples_every=0", "--device=cpu")
    assert kakusan("train", "shapes-clip", *how, *small).status == 0
    return "clip"


def test_a_clip_leads_and_a_picture_says_so(kakusan, run, clip, tmp_path):
    led = ("--prompt=a dark one", f"--clip={clip}", "--clip-scale=300")
    assert kakusan("sample", run, "-n2", *led, *DRAW).status == 0
    model, matcher = api.load(run, device="cpu"), api.load_clip(clip, device="cpu")
    for scale, alike in ((300.0, True), (0.0, False)):
        images = api.sample(model, 2, steps=3, labels=[0, 1], prompt="a dark one", clip=matcher, clip_scale=scale)
        drawn = [pixels(tmp_path / "out" / name) for name in numbered(2)]
        assert (drawn == [it.flatten().tolist() for it in pictures.to_uint8(images)]) == alike
    stamp = stamps.read(tmp_path / "out" / "0001.png", stamps.Sampled)
    assert (stamp.clip.scale, stamp.clip.weights) == (300.0, matcher.weights_hash)
    again = ("sample", run, "--like", "out/0001.png", "-o", "again")
    assert "was drawn by a CLIP: name its run (--clip RUN)" in kakusan(*again).check_refused()
    assert kakusan(*again, "--clip", clip).status == 0
    assert pixels(tmp_path / "again" / "0001.png") == pixels(tmp_path / "out" / "0001.png")
    assert "give --prompt" in kakusan("sample", run, f"--clip={clip}", "-o", "x").check_refused()
    lost = kakusan("sample", run, "--prompt=a dark one", f"--clip={clip}", "--clip-scale=-3", "-o", "x")
    assert "must be 0, which leads nowhere, or more, not -3" in lost.check_refused()
    assert "name one (--clip RUN)" in kakusan("sample", run, "--clip-scale=3", "-o", "x").check_refused()


def test_the_help_names_what_the_tables_hold_and_how_many_pictures_the_film_shows(kakusan):
    text = " ".join(kakusan("sample", "--help").out.split())
    for words in (f"{either(SAMPLERS)} [", f"which times: {either(GRIDS)} ", f"{FILM_IMAGES} at most"):
        assert words in text


def test_what_is_said(kakusan, run):
    answer = kakusan("sample", run, "-n1", *DRAW)
    assert answer.out == "1 image in out\n"
    assert answer.err == (
        "drawing with the averaged (EMA) weights of tiny after 16 images: "
        "ddim, 3 steps, 3 network calls, guidance 1, seed 0\n"
    )


def test_json_is_one_document(kakusan, run):
    document = json.loads(kakusan("sample", run, "-n2", "--json", *DRAW).out)
    assert (document["directory"], document["images"], document["n"]) == ("out", ["0000.png", "0001.png"], 2)


def test_without_a_directory_pictures_go_into_the_run(kakusan, run, tmp_path):
    mine = shutil.copytree(run, tmp_path / "mine")
    assert kakusan("sample", mine, "-n1", "--steps=1").status == 0
    (directory,) = (mine / "generated").iterdir()
    assert "0000.png" in files(directory)


def test_overwrite_replaces_pictures_of_ours_and_nothing_else(kakusan, run, drawn):
    Image.new("L", (8, 8)).save(drawn / "0009.png")
    pictures.save(drawn / "0008.png", torch.zeros(1, 8, 8), {"run": "another"})
    (drawn / "notes.txt").write_text("keep me")
    assert "out already holds files" in kakusan("sample", run, "-n2", *DRAW).check_refused()
    assert kakusan("sample", run, "-n2", "--overwrite", *DRAW).status == 0
    assert files(drawn) == ["0000.png", "0001.png", "0008.png", "0009.png", "grid.png", "notes.txt"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("-n 0", "n must be at least 1 image, not 0"),
        ("--steps 0", "sampling.steps must be a whole number of at least 1"),
        ("--steps 21", "steps must be between 1 and 20 for this chain, not 21"),
        ("--sampler ddpm --steps 21", "steps must be between 1 and 20 for this chain, not 21"),
        ("--eta 1.5", "sampling.eta must be a number from 0 to 1, not 1.5"),
        ("--sampler heun --eta 1", "sampling.eta is 1.0, but heun takes none"),
        ("--variance beta", "sampling.variance is beta, but ddim takes none: set it to posterior, or use ddpm"),
        ("--guidance -1", "sampling.guidance must be a number of at least 0"),
        ("--batch 0", "sampling.batch must be a whole number of at least 1"),
        ("--labels 3,10", "labels must lie between 0 and 9 (or be -1, no class), not 10"),
        ("--labels cat", "unknown class 'cat'"),
        ("--checkpoint 9", "tiny holds no checkpoint at 9 images (there are 8, 16)"),
        ("--device tpu", "unknown device 'tpu'"),
        ("--device cuda:63", "there is no device cuda:63 here"),
        ("--like full/a.txt", "full/a.txt is not a PNG"),
        (
            "--like missing.png",
            "cannot read missing.png: No such file or directory (give a picture that kakusan wrote)",
        ),
        ("--like a.png --labels 3", "--like draws a picture as it says itself: leave out --labels"),
        ("-o full", "full already holds files (choose a new directory, or --overwrite"),
        ("-o full/a.txt", "full/a.txt is a file, not a directory"),
        ("-o /dev/null/out", "cannot write /dev/null/out: "),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(kakusan, run, tmp_path, arguments, sentence):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("here first")
    where = () if "-o" in arguments else ("-o", "out")
    assert (
        kakusan("sample", run, *arguments.split(), *where)
        .check_refused()
        .removeprefix(f"{run.parent}/")
        .startswith(sentence)
    )
    assert files(tmp_path) == ["full"]
    assert files(tmp_path / "full") == ["a.txt"]


def _not_a_run(run):
    (run / "config.yaml").unlink()


def _cut_short(run):
    weights = run / "checkpoints" / "0000016" / "ema.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _of_another_architecture(run):
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("channels: [8, 16]", "channels: [8, 32]"))


def _without_state(run):
    (run / "checkpoints" / "0000016" / "state.json").write_text("{")


def _without_checkpoints(run):
    shutil.rmtree(run / "checkpoints")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_not_a_run, "is not a run directory: it holds no config.yaml"),
        (_cut_short, "ema.safetensors is damaged or cut short"),
        (_of_another_architecture, "ema.safetensors is of another architecture: down.1"),
        (_without_state, "has no readable state.json"),
        (_without_checkpoints, "holds no checkpoint yet (start again: "),
    ],
)
def test_a_run_that_is_spoilt_is_refused(kakusan, run, tmp_path, spoil, sentence):
    spoil(shutil.copytree(run, tmp_path / "mine"))
    assert sentence in kakusan("sample", "mine", *DRAW).check_refused()
    assert files(tmp_path) == ["mine"]


def test_a_full_disk_is_told_in_one_line(kakusan, run, tmp_path):
    with a_disk_that_holds(100):
        answer = kakusan("sample", run, "-n1", *DRAW)
    assert answer.status == 2
    assert answer.err.splitlines()[-1].startswith("kakusan: cannot write out/0000.png: ")
    assert files(tmp_path) == []


@pytest.fixture
def sizes(drawn):
    return {name: (drawn / name).stat().st_size for name in files(drawn)}


SIX = ("-n6", "--labels=3,5", "--eta=1", "--guidance=2")


def test_a_disk_that_fills_up_later_leaves_the_directory_as_it_was(kakusan, run, drawn, sizes, tmp_path):
    """There is room for the pictures, but not for their grid: a new directory is not there, and can be tried again."""
    assert max(size for name, size in sizes.items() if name != "grid.png") < sizes["grid.png"]
    with a_disk_that_holds(sizes["grid.png"] - 1):
        answer = kakusan("sample", run, *SIX, "--steps=3", "--device=cpu", "-o", "new/pictures")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.splitlines()[-1].startswith("kakusan: cannot write new/pictures/grid.png: ")
    assert files(tmp_path) == ["out"]

    before = {name: (drawn / name).read_bytes() for name in files(drawn)}
    with a_disk_that_holds(sizes["grid.png"] - 1):
        assert kakusan("sample", run, *SIX, "--seed=8", "--trajectory", "--overwrite", *DRAW).status == 2
    assert {name: (drawn / name).read_bytes() for name in files(drawn)} == before


@pytest.mark.parametrize(("chunks", "kept"), [(0, []), (1, numbered(4))])
@pytest.mark.parametrize("overwrite", [False, True])
def test_ctrl_c_keeps_whole_chunks_and_no_empty_directory(
    kakusan, run, drawn, tmp_path, monkeypatch, chunks, kept, overwrite
):
    """What an interrupted call was to replace gives way to new pictures, but not to none."""
    before, walk = files(drawn), Plan.walk

    def interrupted(plan, images):
        if images.start == 4 * chunks:
            raise KeyboardInterrupt
        return walk(plan, images)

    monkeypatch.setattr(Plan, "walk", interrupted)
    where = ("-o", "out", "--overwrite") if overwrite else ("-o", "new")
    answer = kakusan("sample", run, *SIX, "--steps=3", "--device=cpu", *where)
    assert answer.status == 130
    if kept:
        assert answer.err.splitlines()[-1] == f"kakusan: interrupted: 4 of 6 images are in {where[1]}"
    else:
        assert (
            answer.err.splitlines()[-1] == "kakusan: interrupted before the first image was done: nothing was written"
        )
    assert files(tmp_path) == (["out"] if overwrite or not kept else ["new", "out"])
    assert files(drawn) == (kept if overwrite and kept else before)
    if kept:
        assert files(tmp_path / where[1]) == kept


@pytest.mark.parametrize(
    ("labels", "cycle"),
    [([3, 5, 3, 5, 3], (3, 5)), ([1, 1, 1], (1,)), ([0, 1, 2], (0, 1, 2)), ([3, 3, 5, 3, 3], (3, 3, 5)), ([4], (4,))],
)
def test_labels_are_kept_as_what_repeats(labels, cycle):
    assert stamps._cycle(labels) == cycle


def test_a_stamp_survives_its_way_through_json(drawn):
    stamp = stamps.read(drawn / "0002.png", stamps.Sampled)
    assert Sampled.model_validate_json(json.dumps(stamp.metadata(2))) == stamp


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_the_pictures_that_are_done(run, tmp_path, number):
    command = [sys.executable, "-m", "kakusan", "sample", str(run), "-n100000", "--out=out", "--device=cpu"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "out" / "00000.png").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    done = len(list((tmp_path / "out").glob("[0-9]*.png")))
    assert 0 < done < 100_000
    assert err.splitlines()[-1] == f"kakusan: interrupted: {done} of 100000 images are in out"
