"""Trains the detector from nothing: `python -m examples.digits.train`."""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TextColumn
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from examples.digits import jpeg
from examples.digits.export import export, record
from examples.digits.loss import Truth, detection_loss, to_corners
from examples.digits.materials import Split
from examples.digits.network import IMAGE_SIZE_PX, WEIGHTS_PATH, DigitDetector
from examples.digits.scenes import Layout, Scene, scene

_CROWDED = Layout(digits=(2, 14), distractors=8)  # fuller than the test scenes: more to learn from each image


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that a run depends on, but for the machine."""

    seed: int = 0
    scenes: int = 5000
    steps: int = 2600
    batch: int = 24
    peak_rate: float = 4e-3
    weight_decay: float = 0.03
    warmup_share: float = 0.06
    average_decay: float = 0.998
    threads: int = 2
    bfloat16: bool = True
    """Convolve in bfloat16: 2.5 times as fast where the processor has AVX512-BF16 or AMX, slower where not."""


def training_scene(index: int, *, seed: int) -> Scene:
    """Scene `index` of the training set, after JPEG's losses."""
    drawn = scene(Split.TRAIN, index, seed=seed, layout=_CROWDED)
    return Scene(image=jpeg.decode(jpeg.encode(drawn.image)), boxes=drawn.boxes, labels=drawn.labels)


def compose_all(recipe: Recipe, progress: Progress) -> list[Scene]:
    """All training scenes, in order, composed by several processes."""
    drawn = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(recipe.threads, mp_context=context) as pool:
        task = progress.add_task("composing scenes", total=recipe.scenes, note="")
        compose_one = partial(training_scene, seed=recipe.seed)
        for composed in pool.map(compose_one, range(recipe.scenes), chunksize=50):
            drawn.append(composed)
            progress.advance(task)
    return drawn


def truth_of(batch: list[Scene]) -> Truth:
    """Pad the boxes and labels of a batch to the fullest scene."""
    fullest = max(len(each.labels) for each in batch)
    boxes = torch.zeros(len(batch), fullest, 4)
    labels = torch.zeros(len(batch), fullest, dtype=torch.int64)
    present = torch.zeros(len(batch), fullest, dtype=torch.bool)
    for row, each in enumerate(batch):
        count = len(each.labels)
        boxes[row, :count] = torch.from_numpy(each.boxes)
        labels[row, :count] = torch.from_numpy(each.labels)
        present[row, :count] = True
    return Truth(boxes=boxes, labels=labels, present=present)


def recoloured(images: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """`[N, H, W, 3]` uint8 to `[N, 3, H, W]` 0 to 1: light changed, channels swapped, some negatives, some grey.

    There are no mirror images: a mirrored digit is no digit.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
    for row in range(len(pixels)):
        if rng.random() < 0.5:
            pixels[row] = pixels[row, torch.from_numpy(rng.permutation(3))]
        if rng.random() < 0.15:
            pixels[row] = pixels[row].mean(dim=0, keepdim=True)
        if rng.random() < 0.3:
            pixels[row] = 1 - pixels[row]
    gain = torch.from_numpy(rng.uniform(0.7, 1.25, size=(len(images), 1, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.1, 0.1, size=(len(images), 1, 1, 1)).astype(np.float32))
    return ((pixels - 0.5) * gain + 0.5 + shift).clamp_(0, 1).contiguous(memory_format=torch.channels_last)


def batches(drawn: list[Scene], recipe: Recipe) -> Iterator[tuple[Tensor, Truth]]:
    """Endless batches, in a new order in every epoch."""
    rng = np.random.default_rng((recipe.seed, 1))
    while True:
        order = rng.permutation(len(drawn))
        for start in range(0, len(order) - recipe.batch + 1, recipe.batch):
            picked = [drawn[index] for index in order[start : start + recipe.batch]]
            yield recoloured(np.stack([each.image for each in picked]), rng), truth_of(picked)


def loss_of(network: DigitDetector, images: Tensor, truth: Truth, recipe: Recipe) -> Tensor:
    """The scalar loss of one batch."""
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
        raw = network(images).float()
    boxes = to_corners(network.decode(raw)[:, :4].transpose(1, 2))
    return detection_loss(raw[:, 4:].transpose(1, 2), boxes, network.anchors.T, truth)


@torch.no_grad()  # type: ignore[untyped-decorator]
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average of the weights, and of the statistics, a little towards the network's."""
    for slow, fast in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if slow.is_floating_point():
            slow.lerp_(fast, 1 - decay)
        else:
            slow.copy_(fast)


def optimiser_of(network: nn.Module, recipe: Recipe) -> tuple[Optimizer, LRScheduler]:
    """AdamW with one cosine cycle; no decay for biases, scales and normalisation."""
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.peak_rate)
    schedule = OneCycleLR(
        optimiser, recipe.peak_rate, total_steps=recipe.steps, pct_start=recipe.warmup_share, final_div_factor=100
    )
    return optimiser, schedule


def fit(drawn: list[Scene], recipe: Recipe, progress: Progress) -> DigitDetector:
    """Train on the scenes; the averaged network, in eval mode."""
    torch.manual_seed(recipe.seed)
    network = DigitDetector(IMAGE_SIZE_PX).to(memory_format=torch.channels_last).train()
    average: DigitDetector = copy.deepcopy(network)
    optimiser, schedule = optimiser_of(network, recipe)
    task = progress.add_task("training", total=recipe.steps, note="")
    for step, (images, truth) in zip(range(recipe.steps), batches(drawn, recipe), strict=False):
        loss = loss_of(network, images, truth, recipe)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        follow(average, network, min(recipe.average_decay, (1 + step) / (10 + step)))
        progress.update(task, advance=1, note=f"loss {loss.item():.3f}")
    average.eval()
    return average


def save(network: nn.Module, path: Path) -> None:
    """Write the weights as safetensors, first under a temporary name."""
    draft = path.with_suffix(".part")
    draft.write_bytes(serialise({name: weight.contiguous() for name, weight in network.state_dict().items()}))
    draft.replace(path)


def train(recipe: Recipe, console: Console) -> None:
    """Compose, fit, then write `digits.safetensors` and `digits.onnx` beside this file."""
    started = time.perf_counter()
    torch.set_num_threads(recipe.threads)
    columns = (*Progress.get_default_columns(), TextColumn("{task.completed}/{task.total} {task.fields[note]}"))
    with Progress(*columns, console=console) as progress:
        drawn = compose_all(recipe, progress)
        network = fit(drawn, recipe, progress)
    save(network, WEIGHTS_PATH)
    record(export())
    console.print(f"wrote {WEIGHTS_PATH.name} and its ONNX model after {time.perf_counter() - started:.0f} s")


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="batches (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=Recipe.scenes, help="training scenes (default: %(default)s)")
    parser.add_argument("--float32", action="store_true", help="for processors without bfloat16")
    chosen = parser.parse_args()
    recipe = Recipe(seed=chosen.seed, steps=chosen.steps, scenes=chosen.scenes, bfloat16=not chosen.float32)
    train(recipe, Console())


if __name__ == "__main__":
    main()
