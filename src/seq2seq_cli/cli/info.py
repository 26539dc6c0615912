"""`seq2seq info`: what a run folder holds."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer


def info(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of `seq2seq train`.")],
    output_format: Annotated[
        Literal["text", "json"], typer.Option("--format", help="A table to read, or JSON.")
    ] = "text",
    length: Annotated[
        int, typer.Option(min=1, help="Tokens a side of the sentences that cost is counted for.")
    ] = 20,
) -> None:
    """Show a model's parameters, its size, and what a token costs.

    \b
    seq2seq info runs/en-de
    seq2seq info runs/en-de --format json
    """
    from seq2seq_cli.evaluation.inspection import cost, parameters
    from seq2seq_cli.runs.run_folder import RunFolder

    folder = RunFolder(run)
    model = folder.load_model()
    table = parameters(model)
    total = sum(one.count for one in table)
    flops = cost(model, length)
    if output_format == "json":
        record = {
            "architecture": model.config.architecture,
            "parameters": total,
            "tensors": [{"name": p.name, "shape": p.shape, "count": p.count} for p in table],
            "flops": {
                "length": flops.length,
                "source_token": flops.source_token,
                "target_token": flops.target_token,
                "training": flops.training,
            },
        }
        print(json.dumps(record, indent=1))
        return
    width = max(len(one.name) for one in table)
    for one in table:
        shape = " x ".join(str(size) for size in one.shape)
        print(f"{one.name:<{width}}  {shape:>14}  {one.count:>12,}  {one.count / total:>6.1%}")
    print(f"{'total':<{width}}  {'':>14}  {total:>12,}")
    print()
    print(f"architecture     {model.config.architecture}")
    vocabulary = (model.source_embedding.num_embeddings, model.target_embedding.num_embeddings)
    print(f"vocabulary       {vocabulary[0]:,} source, {vocabulary[1]:,} target pieces")
    print(f"a source token   {flops.source_token / 1e6:,.2f} MFLOP, read once")
    print(f"a target token   {flops.target_token / 1e6:,.2f} MFLOP a hypothesis in the beam")
    print(f"in training      {flops.training / 1e6:,.2f} MFLOP for one of each")
    print(f"                 (matrix products, sentences of {flops.length} tokens a side)")
