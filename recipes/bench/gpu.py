"""Measures training and search on a GPU, in at most eight minutes.

    python recipes/bench/gpu.py OUTPUT              # on a GPU
    python recipes/bench/gpu.py OUTPUT --tiny       # tiny models, to try the script on a CPU

Needs torch, numpy, safetensors, sentencepiece and sacrebleu beside this package. Models have random
weights and texts are random tokens of one length, so that only speed can be told.
Written into OUTPUT, as JSON and as Markdown:

- training of transformer-base and transformer-big in bfloat16, as it is and by torch.compile:
  target tokens per second, and the share of the speed that one large bfloat16 product has there
- search of transformer-base, greedy and with a beam of 5, beside generate() of a MarianMTModel of
  the same shape if transformers is installed: lines per second
- whether a training that was broken off ends with the bytes of one that was not
"""

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seq2seq_cli import __version__
from seq2seq_cli.config import presets
from seq2seq_cli.config.models import TransformerConfig, Vocabulary, model_config
from seq2seq_cli.config.operations import cost
from seq2seq_cli.config.settings import parse_toml
from seq2seq_cli.config.training import TrainingConfig
from seq2seq_cli.data.batch import Batch
from seq2seq_cli.data.token_pairs import Sentences, TokenPairs
from seq2seq_cli.devices import choose_device, choose_precision, describe
from seq2seq_cli.models import TranslationModel, build
from seq2seq_cli.runs.run_folder import RunFolder
from seq2seq_cli.search import SearchOptions
from seq2seq_cli.search.torch_predictor import TorchPredictor
from seq2seq_cli.symbols import BOS, EOS, PIECES
from seq2seq_cli.training.objective import Objective
from seq2seq_cli.training.optimization import make_optimizer
from seq2seq_cli.training.progress import SilentListener, Validation
from seq2seq_cli.training.torch_compile import compile_layers
from seq2seq_cli.training.trainer import Experiment, Trainer
from seq2seq_cli.translation.faults import TranslationStatistics

NO_STATISTICS = TranslationStatistics(0.0, 0.0)
LENGTH = 32  # tokens of a sentence
BIG: dict[str, Any] = {"width": 1024, "heads": 16, "feed_forward": 4096}


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    vocabulary: int = 32_000
    batch_tokens: int = 32_768
    lines: int = 512
    product: int = 8192  # rows and columns of the large product
    seconds: float = 15.0  # of each measurement
    model: tuple[tuple[str, int], ...] = ()  # settings over those of the presets

    def config(self, **more: Any) -> TransformerConfig:
        """The settings of transformer-base, with others over them."""
        table = parse_toml(presets.read("transformer-base"), "transformer-base")["model"]
        found = model_config({**table, **more, **dict(self.model)})
        assert isinstance(found, TransformerConfig)
        return found


TINY = Sizes(
    vocabulary=500,
    batch_tokens=512,
    lines=8,
    product=256,
    seconds=0.5,
    model=(("width", 32), ("heads", 4), ("feed_forward", 64), ("encoder_layers", 2)),
)


class Bench:
    """The measurements on one device."""

    def __init__(self, device: torch.device, sizes: Sizes) -> None:
        self.device, self.sizes = device, sizes
        self.vocabulary = Vocabulary(sizes.vocabulary, sizes.vocabulary, joint=True)

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object]) -> float:
        """The median time of a piece of work, which is first done three times unmeasured."""
        for _ in range(3):
            work()
        times = list[float]()
        while len(times) < 3 or sum(times) < self.sizes.seconds:
            self.wait()
            began = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    def product_speed(self) -> float:
        """Operations per second of one large product in bfloat16."""
        n = self.sizes.product
        a, b = (torch.randn(n, n, device=self.device, dtype=torch.bfloat16) for _ in range(2))
        return 2 * n**3 / self.seconds(lambda: a @ b)

    def model(self, config: TransformerConfig) -> TranslationModel:
        """A model with random weights."""
        torch.manual_seed(1)
        return build(config, self.vocabulary).to(self.device)

    def tokens(self, rows: int) -> np.ndarray:
        """Random sentences without control symbols."""
        random = np.random.default_rng(1)
        return random.integers(len(PIECES), self.sizes.vocabulary, (rows, LENGTH))

    def batch(self) -> Batch:
        """A batch for training."""
        words = torch.from_numpy(self.tokens(self.sizes.batch_tokens // (LENGTH + 1)))
        begin, end = (torch.full((len(words), 1), symbol) for symbol in (BOS, EOS))
        batch = Batch(torch.cat((words, end), dim=1), torch.cat((begin, words, end), dim=1))
        return batch.to(self.device)

    def training(self, peak: float) -> Iterator[dict[str, Any]]:
        """Speed of training, by model and with torch.compile or without."""
        batch = self.batch()
        for name, more in (("transformer-base", {}), ("transformer-big", BIG)):
            for compiled in (False, True) if self.device.type == "cuda" else (False,):
                config = self.sizes.config(**more)
                model = self.model(config).train()
                if compiled:
                    compile_layers(model, self.device)
                training = TrainingConfig(label_smoothing=0.1)
                objective = Objective(training, torch.bfloat16)
                optimizer = make_optimizer(model, training)

                def update(model=model, objective=objective, optimizer=optimizer) -> None:
                    loss, _ = objective(model, batch)
                    (loss / batch.target_tokens()).backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad()

                seconds = self.seconds(update)
                tokens = batch.target_tokens()
                operations = cost(config, self.vocabulary, LENGTH).training * tokens
                yield {
                    "model": name,
                    "compiled": compiled,
                    "tokens_per_second": tokens / seconds,
                    "share_of_product": operations / seconds / peak,
                    "gigabytes": self.memory(),
                }

    def memory(self) -> float:
        """The peak memory in GB since the last call."""
        if self.device.type != "cuda":
            return 0.0
        peak = torch.cuda.max_memory_allocated(self.device) / 1e9
        torch.cuda.reset_peak_memory_stats(self.device)
        return peak

    def search(self) -> Iterator[dict[str, Any]]:
        """Speed of search, all translations as long as their sources."""
        sources = [[*row, EOS] for row in self.tokens(self.sizes.lines).tolist()]
        config = replace(self.sizes.config(), dropout=0.0)
        model = self.model(config).eval()
        predictor = TorchPredictor([model], precision=torch.bfloat16)
        for beam in (1, 5):
            options = SearchOptions(beam=beam, min_ratio=1.0, max_ratio=1.0, max_extra=0)
            with torch.inference_mode():
                seconds = self.seconds(lambda options=options: predictor.search(sources, options))
            yield {"engine": "seq2seq", "beam": beam, "lines_per_second": len(sources) / seconds}
        yield from self.transformers(sources, config)

    def transformers(
        self, sources: list[list[int]], config: TransformerConfig
    ) -> Iterator[dict[str, Any]]:
        """The same by generate() of transformers; nothing if it is not installed."""
        try:
            from transformers import MarianConfig, MarianMTModel
        except ImportError:
            return
        sizes = {"vocab_size": self.sizes.vocabulary, "d_model": config.width}
        for side in ("encoder", "decoder"):
            sizes |= {
                f"{side}_layers": getattr(config, f"{side}_layers"),
                f"{side}_attention_heads": config.heads,
                f"{side}_ffn_dim": config.feed_forward,
            }
        own = MarianConfig(**sizes, pad_token_id=0, eos_token_id=EOS, decoder_start_token_id=0)
        model = MarianMTModel(own).to(self.device, torch.bfloat16).eval()
        ids = torch.tensor(sources, device=self.device)
        for beam in (1, 5):
            how = {"num_beams": beam, "min_new_tokens": LENGTH + 1, "max_new_tokens": LENGTH + 1}
            with torch.inference_mode():
                seconds = self.seconds(lambda how=how: model.generate(ids, **how))
            speed = len(sources) / seconds
            yield {"engine": "transformers", "beam": beam, "lines_per_second": speed}


def resumed_bytes(device: torch.device, folder: Path) -> dict[str, Any]:
    """The hashes of weights of a whole and of a resumed training, and whether they are equal."""
    random = np.random.default_rng(1)
    sides = [
        Sentences([random.integers(4, 60, random.integers(2, 20)).tolist() for _ in range(400)])
        for _ in range(2)
    ]
    config = model_config(parse_toml(presets.read("transformer-tiny"), "transformer-tiny")["model"])
    hashes = {}
    for name, limits in (("whole", (60,)), ("resumed", (30, 60))):
        for updates in limits:
            torch.manual_seed(1)
            experiment = Experiment(
                model=build(config, Vocabulary(60, 60, joint=True)),
                pairs=TokenPairs(*sides),
                config=TrainingConfig(
                    batch_tokens=512, max_updates=updates, validate_every=100, average="none"
                ),
                run=FolderOfWeights(folder / name),
                validate=lambda model: Validation(0.0, 0.0, 0.0, (), NO_STATISTICS),
                diagnose=lambda history: (),
                listener=SilentListener(),
                device=device,
                precision=choose_precision("auto", device),
                data="random",
            )
            Trainer(experiment).train()
        (weights,) = (folder / name).glob("training/update-*/weights.safetensors")
        hashes[name] = hashlib.sha256(weights.read_bytes()).hexdigest()
    return {**hashes, "equal": hashes["whole"] == hashes["resumed"]}


class FolderOfWeights(RunFolder):
    """A run folder without settings."""

    def save_model(self, weights: object) -> None:
        """Save nothing to translate with."""


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    lines = [
        f"{result['device']}, torch {result['torch']}, seq2seq-cli {result['version']}; "
        f"one bfloat16 product: {result['product_teraflops']:.3g} TFLOP/s",
        "",
        "| training | tokens/s | of one product | GB |",
        "|---|---|---|---|",
    ]
    for each in result["training"]:
        name = each["model"] + ", compiled" * each["compiled"]
        speed, share = each["tokens_per_second"], each["share_of_product"]
        lines.append(f"| {name} | {speed:,.0f} | {share:.0%} | {each['gigabytes']:.1f} |")
    lines += ["", "| search | beam | lines/s |", "|---|---|---|"]
    for each in result["search"]:
        lines.append(f"| {each['engine']} | {each['beam']} | {each['lines_per_second']:,.1f} |")
    equal = "the same bytes" if result["resumed"]["equal"] else "OTHER BYTES"
    return "\n".join([*lines, "", f"A training that was broken off ends with {equal}.", ""])


def main() -> None:
    """Measure all, and write it after each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=False)
    device = choose_device(options.device)
    bench = Bench(device, TINY if options.tiny else Sizes())
    peak = bench.product_speed()
    result: dict[str, Any] = {
        "device": describe(device, torch.bfloat16),
        "torch": torch.__version__,
        "version": __version__,
        "product_teraflops": peak / 1e12,
    }
    for part, measure in (
        ("resumed", lambda: resumed_bytes(device, options.output)),
        ("training", lambda: list(bench.training(peak))),
        ("search", lambda: list(bench.search())),
    ):
        began = time.perf_counter()
        result[part] = measure()
        print(f"{part}: {time.perf_counter() - began:.0f} s", flush=True)
        (options.output / "gpu.json").write_text(json.dumps(result, indent=1))
    (options.output / "gpu.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
