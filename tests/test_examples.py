"""Every example runs in a process of its own, and prints what the mathematics says."""

import ast
import re
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image

import kakusan
from kakusan import config, stable_diffusion
from tests import textbook

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def process(name, *arguments, warnings="error"):
    """Runs an example in a process of its own, and returns that when it has ended."""
    command = [sys.executable, "-W", warnings, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def run(name, *arguments, **how):
    """Runs an example and returns the lines that it printed."""
    done = process(name, *arguments, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def numbers(line):
    """Returns the numbers in a line; "95.1%" is 95.1, "4,151" is 4151."""
    return [float(number.replace(",", "")) for number in re.findall(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", line)]


@pytest.mark.parametrize("name", NAMES)
def test_every_example_names_its_section_and_how_to_run_it(name):
    text = (EXAMPLES / f"{name}.py").read_text("utf-8")
    description = ast.get_docstring(ast.parse(text))
    assert re.match(r"Sections? 4\.\d", description)
    assert f"`python examples/{name}.py" in description
    assert f"def test_{name}" in Path(__file__).read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_short(name):
    """At most thirty lines of code, under a description of one."""
    tree = ast.parse(text := (EXAMPLES / f"{name}.py").read_text("utf-8"))
    description, *code = tree.body
    assert description.lineno == description.end_lineno == 1
    assert len([line for line in text.splitlines()[code[0].lineno - 1 :] if line.strip()]) <= 30


@pytest.mark.slow
def test_forward_process_1d():
    lines = run("forward_process_1d")
    bars = torch.cumprod(1 - torch.linspace(0.002, 0.4, 50, dtype=torch.float64), 0)
    forward, back = lines[1:11], lines[12:17]
    for line, index in zip(forward, [0, 5, 10, 15, 20, 25, 30, 35, 40, 49], strict=True):
        bar, mean, deviation = numbers(line)[:3]
        assert bar == pytest.approx(bars[index].item(), rel=5e-3)
        assert mean == pytest.approx(0, abs=0.2)
        assert deviation == pytest.approx((4.25 * bar + 1 - bar) ** 0.5, abs=0.1)
    assert numbers(back[-1])[0] == 1
    for line, side in zip(lines[17:], (-1, 1), strict=True):
        count, mean, deviation = numbers(line)
        assert count == pytest.approx(500, abs=80)
        assert mean == pytest.approx(2 * side, abs=0.1)
        assert deviation == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_noise_schedules():
    lines = run("noise_schedules")
    known = {"linear": [1e-4, 0.02, 4.04e-5], "cosine": [4.13e-5, 0.999, 2.43e-9], "quadratic": [1e-4, 0.02, 7.33e-4]}
    assert {line.split()[0]: numbers(line) for line in lines[1:4]} == known
    (index, *bars), (last_index, *last_bars) = numbers(lines[-10]), numbers(lines[-1])
    assert (index, last_index) == (0, 999)
    assert bars == [0.9999, 0.99996, 0.9999]  # 1 − β_0: already a little noisy, and not rounded to 1
    assert [float(f"{bar:.3g}") for bar in last_bars] == [bar for _, _, bar in known.values()]


@pytest.mark.slow
def test_ddpm():
    lines = run("ddpm")
    table = [numbers(line) for line in lines[1:7]]
    known = {0: 0.9999, 100: 0.8951, 300: 0.394, 500: 0.0778, 700: 0.006868, 999: 4.036e-05}
    assert {int(row[0]): row[1] for row in table} == known
    for _, bar, signal, noise in table:
        assert signal == pytest.approx(100 * bar, abs=0.01)
        assert signal + noise == pytest.approx(100, abs=2e-3)
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    posterior = textbook.DDPM(betas).posterior_variance[500].item()
    assert numbers(lines[-2]) == [500, round(posterior, 5), round(betas[500].item(), 5)]
    assert numbers(lines[-1]) == [500, 499, 16, 1, 8, 8]


@pytest.mark.slow
def test_time_embedding():
    lines = run("time_embedding")
    assert numbers(lines[0]) == [6, 128, 6, 256]
    # 0 has the cosines 1 and the sines 0, so its likeness to 100 is the mean of the cosines of 100.
    frequencies = 10 ** (-4 * torch.arange(64, dtype=torch.float64) / 63)
    likeness = torch.tensor([numbers(line)[1:] for line in lines[-6:]])
    assert likeness[0, 1].item() == pytest.approx(torch.cos(100 * frequencies).mean().item(), abs=6e-4)
    assert torch.equal(likeness, likeness.T)
    assert torch.equal(likeness.diagonal(), torch.ones(6))
    assert all(len(line.partition("|")[2]) == 65 for line in lines[3:9])


@pytest.mark.slow
def test_unet():
    *parts, total, size, shapes = run("unet")
    assert numbers(total) == [4_151_299]
    assert sum(numbers(part)[-1] for part in parts) == 4_151_299
    assert numbers(size) == [16.6, 32]
    assert numbers(shapes) == [2, 3, 32, 32] * 2


@pytest.mark.slow
def test_training_loop(tmp_path):
    *epochs, samples = run("training_loop", tmp_path / "samples.png")
    losses = [numbers(line)[1] for line in epochs]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5  # to predict nothing costs 1
    assert numbers(samples)[:4] == [16, 1, 8, 8]
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size == (35 * 8, 35 * 8)


@pytest.mark.slow
def test_ddim():
    whole, fast, ratio, again = map(numbers, run("ddim"))
    assert whole[:2] == [1000, 1000]
    assert fast[:2] == [50, 50]
    assert ratio[0] == pytest.approx(whole[2] / fast[2], rel=0.1)
    assert again == [0]


@pytest.mark.slow
def test_guidance():
    rows = {row[0]: row[1:] for row in map(numbers, run("guidance")[1:])}
    assert list(rows) == [0, 1, 5, 7.5, 10, 15]
    assert rows[0][:3] == pytest.approx([50, 0, (0.25 + 0.25**2) ** 0.5], abs=3)
    assert rows[1][0] == pytest.approx(97.7, abs=1)
    assert rows[1][1:3] == pytest.approx([0.5, 0.25], abs=0.02)
    share, mean, deviation, saturated = zip(*(rows[scale] for scale in (1, 5, 7.5, 10, 15)), strict=True)
    assert share[1:] == (100, 100, 100, 100)
    assert list(mean) == sorted(mean)
    assert list(deviation) == sorted(deviation, reverse=True)
    assert list(saturated) == sorted(saturated)
    assert saturated[0] < 5
    assert saturated[-1] > 95


@pytest.mark.slow
def test_text_to_image(tmp_path):
    *parts, tokenizer, kinds, first, second, third, again = run("text_to_image", tmp_path / "drawn.png")
    pipe = stable_diffusion.opened("mini", "cpu").pipe
    for line, part in zip(parts, (pipe.text_encoder, pipe.unet, pipe.vae), strict=True):
        assert numbers(line) == [sum(parameter.numel() for parameter in part.parameters())]
    assert numbers(tokenizer) == [len(pipe.tokenizer), pipe.tokenizer.model_max_length]
    assert kinds == "scheduler: DDIMScheduler; safety checker: None"
    obeyed = [numbers(line) for line in (first, second, third)]
    assert [row[0] for row in obeyed] == [1, 2, 7.5]
    assert all(row[1] >= 6 for row in obeyed)
    assert numbers(again) == [0]
    with Image.open(tmp_path / "drawn.png") as picture:
        assert picture.width > 4 * 32


@pytest.mark.slow
def test_image_to_image():
    *strengths, mask = map(numbers, run("image_to_image"))
    assert [row[0] for row in strengths] == [0.1, 0.2, 0.6, 1]
    changed, obeyed = [row[1] for row in strengths], [row[2] for row in strengths]
    assert changed == sorted(changed)
    assert obeyed[0] <= 2
    assert obeyed[-1] >= 7
    outside, inside = mask
    assert outside <= 1 / 127.5  # what a file of bytes rounds
    assert inside > 0.5


@pytest.mark.slow
def test_schedulers():
    rows = [line.split() for line in run("schedulers", warnings="default")[1:]]  # diffusers' own are deprecations
    assert [(name, steps) for name, _, steps, *_ in rows] == [
        ("ddim", "20"),
        ("ddim", "8"),
        ("dpmpp-2m", "8"),
        ("unipc", "8"),
        ("euler", "8"),
    ]
    assert rows[2][1] == "DPMSolverMultistepScheduler"
    assert all(float(obeyed.rstrip("%")) >= 80 for *_, obeyed, _ in rows)
    assert max(float(seconds) for *_, seconds in rows[1:]) < float(rows[0][-1])


@pytest.mark.slow
def test_finetuning():
    rows = {line.partition(":")[0]: numbers(line.partition(":")[2]) for line in run("finetuning")}
    pipe = stable_diffusion.opened("mini", "cpu").pipe
    shapes = {name: it.weight.shape for name, it in pipe.unet.named_modules() if name.endswith(ATTENTION)}
    assert rows["lora"][0] == sum(4 * (out + into) for out, into in shapes.values())
    assert rows["dreambooth"][0] == sum(it.numel() for it in pipe.unet.parameters())
    assert rows["textual-inversion"][0] == pipe.text_encoder.config.hidden_size
    for learned, whole, share, *_ in rows.values():
        assert share == pytest.approx(100 * learned / whole, abs=6e-4)


@pytest.mark.slow
def test_combining_loras():
    changed, merged, fused = map(numbers, run("combining_loras"))
    assert changed[0] > 0.2
    assert max(*merged, *fused) < 1e-3


@pytest.mark.slow
def test_prompt_engineering():
    rows = [numbers(line)[-2] for line in run("prompt_engineering")]
    ladder, (plain, guided, exaggerated) = rows[:5], rows[5:8]
    assert ladder == sorted(ladder)
    assert ladder[0] <= 2
    assert ladder[-1] >= 14
    assert exaggerated < plain <= guided


@pytest.mark.slow
def test_controlnet():
    pytest.importorskip("cv2")
    sizes, edges, new, *taught = map(numbers, run("controlnet"))
    unet = stable_diffusion.opened("mini", "cpu").pipe.unet
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32, 96))
    assert sizes == [sum(it.numel() for it in module.parameters()) for module in (unet, net)]
    assert 0 < edges[0] < 50
    assert new == [0]
    assert [weight for weight, _ in taught] == [0, 0.5, 1]
    changed = [it for _, it in taught]
    assert changed[0] == 0
    assert changed == sorted(changed)
    assert changed[-1] > 0.01


@pytest.mark.slow
def test_weighted_words():
    pytest.importorskip("compel")
    *parts, unbalanced, nothing, little, less, whole, longer = run("weighted_words")
    weights = {part.partition("× ")[2]: numbers(part)[0] for part in parts}
    assert (weights["'red'"], weights["'above'"], weights["'blue'"]) == (1.3, round(1.1**2, 2), round(1 / 1.1, 2))
    assert unbalanced.startswith("the bracket ( at position 3 of 'a (red circle' is without its other one")
    rows = [numbers(line) for line in (nothing, little, less, whole)]
    assert [weight for weight, *_ in rows] == [0, 0.25, 0.5, 1]
    obeyed = [it for _, it, _ in rows]
    assert obeyed == sorted(obeyed)
    assert obeyed[0] <= 4
    assert obeyed[-1] >= 14
    assert numbers(longer)[0] == 2
    assert numbers(longer)[1] > obeyed[0]


@pytest.mark.slow
def test_textbook_checkpoint(tmp_path):
    """A file that was saved by the reader's own class, and none at all."""
    theirs = textbook.UNet(1, 32, 16)
    torch.save(theirs.state_dict(), tmp_path / "mine.pth")
    read, drawn = run("textbook_checkpoint", tmp_path / "mine.pth", tmp_path / "samples.png")
    count = sum(parameter.numel() for parameter in theirs.parameters())
    assert read == f"SimpleUNet: {count:,} parameters, base 16, 1 channels"
    assert numbers(drawn)[:4] == [4, 1, 32, 32]
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size == (65, 65)
    assert run("textbook_checkpoint")[0] == "SimpleUNet: 1,040,387 parameters, base 32, 3 channels"


@pytest.mark.slow
def test_textbook_checkpoint_refuses_what_is_none_in_one_line(tmp_path):
    (tmp_path / "empty.pth").touch()
    torch.save({"epoch": 1}, tmp_path / "other.pth")
    for name, reason in {"nofile": "FileNotFoundError", "empty": "EOFError", "other": "KeyError"}.items():
        done = process("textbook_checkpoint", path := tmp_path / f"{name}.pth")
        assert done.returncode == 1
        assert not done.stdout
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"cannot load a SimpleUNet from {path} ({reason}): give ")


def test_train_cifar10_ddpm(tmp_path, monkeypatch, capsys):
    """On eight pictures of its size, and with a narrower network: the whole of it takes days."""
    for i, image in enumerate(torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)):
        folder = tmp_path / "cifar10" / ("airplane", "automobile")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(folder / f"{i}.png")
    small = {"network.base_channels": 8, "training.samples_every": 0}
    monkeypatch.setattr(kakusan, "train", partial(kakusan.train, overrides=small))
    options = [
        "--epochs",
        1,
        "--batch-size",
        4,
        "--samples",
        2,
        "--data",
        tmp_path / "cifar10",
        "--run",
        tmp_path / "run",
    ]
    monkeypatch.setattr(sys, "argv", ["train_cifar10_ddpm.py", *map(str, options)])
    runpy.run_path(str(EXAMPLES / "train_cifar10_ddpm.py"), run_name="__main__")
    samples = tmp_path / "run" / "samples.png"
    assert capsys.readouterr().out == f"2 samples in {samples}\n"
    assert Image.open(samples).mode == "RGB"
    training = config.load(tmp_path / "run" / "config.yaml").training
    assert (training.epochs, training.batch_size) == (1, 4)
