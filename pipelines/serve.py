"""Runs the application of `pipelines.endpoint` on this machine until it is stopped."""

import socket
from pathlib import Path

from pipelines import console
from pipelines.errors import UsageError
from pipelines.predict import Predictor, without_store
from pipelines.run import read_run


def serve_run(run: Path, host: str, port: int, items: int, body: int, seconds: float, json: bool) -> None:
    """Answer over HTTP with a run until interrupted.

    Parameters
    ----------
    run
        A run folder.
    host, port
        Where to listen; port 0 is any free one.
    items, body, seconds
        Limits: inputs and bytes in a request, and the time it may take.
    json
        Say where as a JSON object on standard output.

    Raises
    ------
    UsageError
        If FastAPI is not installed, or nobody may listen there.
    RunError
        If the run cannot be read.
    """
    try:
        import uvicorn

        from pipelines.endpoint import Limits, make_app, warm_up
    except ImportError as error:
        raise UsageError(f"`headstart serve` needs {error.name}; install it with: pip install 'headstart[serve]'") from error
    saved = read_run(run)
    predictor = Predictor(saved, without_store(run, saved))
    warm_up(predictor)
    app = make_app(predictor, run.name, Limits(items=items, body=body, seconds=seconds))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen()
        except OSError as error:
            raise UsageError(f"{host}:{port}: nobody can listen there: {error.strerror}; name another --port") from error
        port = listening.getsockname()[1]
        if json:
            console.print_json({"run": str(run), "host": host, "port": port})
        else:
            console.out.print(
                f"answering with {run} on http://{host}:{port} (POST /predict, GET /health); Ctrl-C stops", soft_wrap=True
            )
        config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=5, timeout_graceful_shutdown=5)
        uvicorn.Server(config).run(sockets=[listening])
