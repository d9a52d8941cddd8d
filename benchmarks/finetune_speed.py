"""Seconds a step and peak memory of our fine-tuning, against a plain loop over the same modules of diffusers and peft.

Both open the same pipeline, in a process of its own each, encode pictures and prompt once, and train the same weights
at the same settings: low-rank matrices in the attention (``lora``), or the whole U-Net (``dreambooth``), by AdamW in
one kernel, with clipping and a running average, for which the plain loop has diffusers' ``EMAModel``. They are told to
take steps in turn, so that whatever slows the machine slows both; the first turn does not count, and of the others the
fastest does, because other programs only ever add time. On a CPU ``kakusan`` keeps freed memory, as our trainings do;
``plain`` does the same, and ``plain, as torch comes`` does not.

    python benchmarks/finetune_speed.py --threads 1        # mini; and random weights of the shape of Stable Diffusion
    python benchmarks/finetune_speed.py --device cuda      # 1.5, on a CPU a fifth as wide; on a GPU these alone, 512 px
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from kakusan import config, customising, pictures
from kakusan.devices import keep_freed_memory, peak_memory, resolve
from kakusan.interop.pipelines import place_of
from kakusan.training.start import engine_of

RESULTS = Path(__file__).parent / "results" / "finetune_speed.json"
ENDLESS = 10**6
CASES = {"lora": 4, "dreambooth": 2}
"""Presets, and images in a batch."""

PROMPT = "a photo of sks dog"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Gate:
    """Lets a training pass so many steps at a time, and tells how long they took and what they held."""

    def __init__(self, orders: Connection, device: torch.device) -> None:
        self._orders, self._device, self._left, self._since = orders, device, 0, 0.0

    def pass_one(self) -> None:
        """Called at the beginning of every step; waits until another is wanted."""
        if self._left == 0:
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            if self._since:
                self._orders.send((time.perf_counter() - self._since, held(self._device)))
            self._left = self._orders.recv()
            self._since = time.perf_counter()
        self._left -= 1


def held(device: torch.device) -> int:
    """Returns the most bytes that were held so far."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory(device) or 0


class Gated:
    """Batches behind a gate: so the engine is measured as it is."""

    def __init__(self, batches: Any, gate: Gate) -> None:
        self._batches, self._gate = batches, gate
        self.epoch, self.shape = batches.epoch, batches.shape

    def __call__(self, draws: Any, device: torch.device) -> Any:
        self._gate.pass_one()
        return self._batches(draws, device)


def kakusan(gate: Gate, made: config.Config) -> None:
    """Trains as ``kakusan finetune`` does."""
    device = resolve(made.training.device)
    if device.type == "cpu":
        keep_freed_memory()
    prepared = customising.prepared(made, device, None, show=False)
    engine_of(prepared.learned, Gated(prepared.feed.batches, gate), None, made, show=False).train()


def plain(gate: Gate, made: config.Config, keep: bool = True) -> None:
    """Trains as the scripts of diffusers do, on what was encoded beforehand."""
    from diffusers import DDPMScheduler, StableDiffusionPipeline
    from diffusers.training_utils import EMAModel
    from peft import LoraConfig

    device, dtype = resolve(made.training.device), DTYPES[made.training.dtype]
    if keep and device.type == "cpu":
        keep_freed_memory()
    place = place_of(made.network.model)  # type: ignore[union-attr]
    pipe = StableDiffusionPipeline.from_pretrained(place, use_safetensors=True, safety_checker=None).to(device)
    latents, tokens = encoded(pipe, made, device)
    unet, lora = pipe.unet.train(), made.network.kind == "lora"
    pipe.vae.requires_grad_(False)
    pipe.text_encoder.requires_grad_(False)
    if lora:
        pipe.to(dtype)
        unet.requires_grad_(False)
        layers = list(made.network.layers)  # type: ignore[union-attr]
        rank = made.network.rank  # type: ignore[union-attr]
        unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=layers))
    weights = [weight for weight in unet.parameters() if weight.requires_grad]
    for weight in weights:
        weight.data = weight.data.float()
    how, chain = made.optimizer, DDPMScheduler.from_config(pipe.scheduler.config)
    chosen = {"betas": how.betas, "weight_decay": how.weight_decay, "eps": how.eps, "fused": True}
    optimizer = torch.optim.AdamW(weights, lr=how.learning_rate, **chosen)
    ema = EMAModel(weights, foreach=True)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    tokens, batch = tokens.to(dtype if lora else torch.float32), made.training.batch_size
    while True:
        gate.pass_one()
        chosen_images = torch.randint(len(latents.mean), (batch,))
        x0 = latents.mean[chosen_images] + latents.std[chosen_images] * torch.randn_like(latents.mean[chosen_images])
        x0 = x0.to(device) * pipe.vae.config.scaling_factor
        noise, steps = torch.randn_like(x0), torch.randint(0, chain.config.num_train_timesteps, (batch,), device=device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            found = unet(chain.add_noise(x0, noise, steps), steps, encoder_hidden_states=tokens.expand(batch, -1, -1))
        velocity = chain.config.prediction_type == "v_prediction"
        target = chain.get_velocity(x0, noise, steps) if velocity else noise
        loss = nn.functional.mse_loss(found.sample.float(), target)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(weights, how.clip_norm or float("inf"))
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        ema.step(weights)


@torch.no_grad()
def encoded(pipe: Any, made: config.Config, device: torch.device) -> tuple[Any, Tensor]:
    """Returns the distribution of the latents of the pictures, on the CPU, and the encoding of the prompt."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Gaussian

    files = sorted(Path(made.data.source).glob("*.png"))
    moments = []
    for file in files:  # one at a time, as little as is possible
        image = pictures.from_uint8(torch.from_numpy(np.array(Image.open(file))).movedim(2, 0))
        moments.append(pipe.vae.encode(image[None].to(device)).latent_dist.parameters.cpu())
    return Gaussian(torch.cat(moments)), pipe.encode_prompt(PROMPT, device, 1, False)[0]


CONTENDERS: dict[str, Callable[[Gate, config.Config], None]] = {
    "kakusan": kakusan,
    "plain": plain,
    "plain, as torch comes": partial(plain, keep=False),
}


def settings(case: str, model: str, source: str, arguments: argparse.Namespace) -> config.Config:
    """Returns the configuration of a case."""
    training = {"steps": ENDLESS, "batch_size": arguments.batch or CASES[case], "device": arguments.device}
    fields = {f"training.{name}": value for name, value in training.items()}
    given = {"network.model": model, "data.source": source, "objective.instance_prompts": [PROMPT]}
    size = Image.open(next(Path(source).glob("*.png"))).width
    return config.load(case, {**given, **fields, "data.size": size, "training.dtype": arguments.dtype})


def shape_of_sd15(place: Path, width: int = 320) -> str:
    """Writes a pipeline of the shape of Stable Diffusion 1.5, whose weights mean nothing, and returns where; its
    autoencoder is narrower where its U-Net is."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(Path(place_of("mini") or "", "tokenizer"))
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    reads = {"vocab_size": len(tokenizer), "max_position_embeddings": tokenizer.model_max_length, **ends}
    wide = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12 if width == 320 else 2,
        "num_attention_heads": 12,
    }
    channels = tuple(min(width // 64 * 32, 128) * it for it in (1, 2, 4, 4))
    four = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    StableDiffusionPipeline(
        unet=UNet2DConditionModel(
            sample_size=64,
            block_out_channels=(width, 2 * width, 4 * width, 4 * width),
            cross_attention_dim=768,
            attention_head_dim=8,
        ),
        vae=AutoencoderKL(block_out_channels=channels, layers_per_block=2, sample_size=512, **four),
        text_encoder=CLIPTextModel(CLIPTextConfig(**reads, **wide)),
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(place)
    return str(place)


def serve(orders: Connection, who: str, case: str, model: str, source: str, arguments: argparse.Namespace) -> None:
    """Is a contender's process."""
    import peft  # noqa: F401 (what it takes is no contender's)
    from diffusers import StableDiffusionPipeline  # noqa: F401

    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    device = resolve(arguments.device)
    orders.send(held(device))
    CONTENDERS[who](Gate(orders, device), settings(case, model, source, arguments))


def measure(
    case: str, name: str, model: str, source: str, steps: int, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Returns a row for every contender of a case."""
    steps = arguments.steps or steps
    context, workers = multiprocessing.get_context("spawn"), {}
    names = [it for it in CONTENDERS if arguments.device == "cpu" or "as torch comes" not in it]
    for who in names:
        mine, theirs = context.Pipe()
        given = (theirs, who, case, model, source, arguments)
        process = context.Process(target=serve, args=given, daemon=True)
        process.start()
        theirs.close()
        workers[who] = (mine, mine.recv(), process)
    told: dict[str, list[tuple[float, int]]] = {who: [] for who in workers}
    try:
        for turn in range(arguments.rounds + 1):
            for who in names if turn % 2 else reversed(names):  # none always after the same one
                workers[who][0].send(steps if turn else 3)
                told[who].append(workers[who][0].recv())
    finally:
        for _, _, process in workers.values():
            process.kill()  # where one has failed the others would wait, and the engine takes a gentler word for Ctrl-C
    seconds, memory = {}, {}
    for who, (_, before, _) in workers.items():
        seconds[who] = [spent / steps for spent, _ in told[who][1:]]
        memory[who] = (told[who][-1][1] - before) / 2**20
    rows = []
    for who in names:
        fastest, ratio = min(seconds[who]), min(seconds["kakusan"]) / min(seconds[who])
        row = {
            "case": case,
            "model": name,
            "who": who,
            "batch": arguments.batch or CASES[case],
            "steps_a_turn": steps,
            "seconds_a_step": round(fastest, 4),
            "peak_mib": round(memory[who]),
            "seconds_of_ours_over_these": round(ratio, 3),
            "peak_of_ours_over_this": round(memory["kakusan"] / memory[who], 3),
        }
        rows.append(row)
        print(", ".join(f"{field} {value}" for field, value in row.items()), flush=True)
    return rows


def models(directory: Path, arguments: argparse.Namespace) -> list[tuple[str, str, int, int]]:
    """Returns the models: what to call each, where it lies, the side of its pictures in pixels, and steps a turn."""
    if arguments.model:
        return [(arguments.model, arguments.model, arguments.size or 512, 5)]
    # Elsewhere, or this process would grow, and contenders would begin as large.
    with multiprocessing.get_context("spawn").Pool(1) as elsewhere:
        if arguments.device.startswith("cuda"):
            whole = elsewhere.apply(shape_of_sd15, (directory / "model",))
            return [("as Stable Diffusion 1.5", whole, arguments.size or 512, 5)]
        narrow = elsewhere.apply(shape_of_sd15, (directory / "model", 64))
    return [("mini", "mini", 32, 5), ("as Stable Diffusion 1.5, a fifth as wide", narrow, arguments.size or 64, 1)]


def drawn(directory: Path, size: int) -> str:
    """Writes four pictures of nothing, and returns where."""
    for number in range(4):
        pictures.save(directory / f"{number}.png", torch.rand(3, size, size) * 2 - 1)
    return str(directory)


def main() -> None:
    """Measures and stores the rows beside where and how they were measured."""
    parser = argparse.ArgumentParser(description="Our fine-tuning against a plain loop, taking turns.")
    parser.add_argument("--case", choices=CASES, help="which method; both by default")
    parser.add_argument("--model", help="the pipeline; mini by default, on CUDA the shape of Stable Diffusion 1.5")
    parser.add_argument("--size", type=int, help="side of the pictures in pixels; 512 by default, on a CPU 64")
    parser.add_argument("--batch", type=int, help="images a step")
    parser.add_argument("--steps", type=int, help="steps a turn; 5 by default, 1 where they are long")
    parser.add_argument("--rounds", type=int, default=30, help="turns that count")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--device", default="cpu", help="where to compute")
    parser.add_argument("--dtype", choices=DTYPES, help="float32 by default, on CUDA bfloat16")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="where the rows go")
    arguments = parser.parse_args()
    cuda = arguments.device.startswith("cuda")
    arguments.dtype = arguments.dtype or ("bfloat16" if cuda else "float32")
    with tempfile.TemporaryDirectory() as directory:
        rows = [
            row
            for name, model, size, steps in models(Path(directory), arguments)
            for case in ([arguments.case] if arguments.case else CASES)
            for row in measure(case, name, model, drawn(Path(directory, f"images-{size}"), size), steps, arguments)
        ]
    protocol = {
        "date": date.today().isoformat(),
        "command": " ".join(["python benchmarks/finetune_speed.py", *sys.argv[1:]]),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": arguments.threads,
        "dtype": arguments.dtype,
        "versions": {name: version(name) for name in ("kakusan", "torch", "diffusers", "peft")},
        "rounds": arguments.rounds,
        "seconds_a_step": "of the fastest turn; contenders take turns",
        "peak_mib": "growth of the process from before the pipeline was opened; on CUDA what torch allocated",
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps({"protocol": protocol, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
