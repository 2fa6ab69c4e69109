"""The HTTP application of `headstart serve`: a run behind a small endpoint. Nothing that comes in is trusted.

    GET  /health    {"status": "ok", "run", "task", "classes", "takes"}
    POST /predict   {"inputs": [...]} -> {"predictions": [...]}, one for every input, in order

An input is a text, a pair of texts `[a, b]`, or an object `{"image": BASE64}`, `{"image": BASE64, "text": ...}`. Paths are not
taken: a caller names no file on this machine. Requests that arrive together are answered in one batch. Bodies, items, waiting
requests and time are limited; past a limit a request is refused with 413, 422 or 503 and a line that says why.
"""

import asyncio
import base64
import binascii
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cache import HeadstartError
from extract import ImageText, Samples
from extract.samples import kind_of
from pipelines.predict import Predictor, kinds_answered


@dataclass(frozen=True)
class Limits:
    """What a caller may ask for.

    Attributes
    ----------
    items
        Inputs in a request.
    body
        Bytes in a request.
    waiting
        Requests waiting at a time.
    seconds
        From a request's arrival to its answer.
    batch
        Inputs answered together.
    gather
        Seconds that a request may wait for others to share its batch.
    """

    items: int = 256
    body: int = 16 * 2**20
    waiting: int = 64
    seconds: float = 30.0
    batch: int = 256
    gather: float = 0.005


class Picture(BaseModel):
    """An image's file as base64, and the text that goes with it, if any."""

    model_config = ConfigDict(extra="forbid")
    image: str
    text: str | None = None


class Question(BaseModel):
    """What is asked: inputs to answer for."""

    model_config = ConfigDict(extra="forbid")
    inputs: list[str | tuple[str, str] | Picture] = Field(min_length=1)


@dataclass
class _Waiting:
    samples: list[Any]
    answer: "asyncio.Future[list[dict[str, Any]]]"


@dataclass
class Batcher:
    """Answers for requests that arrive together in one call, in a thread of its own.

    Parameters
    ----------
    answer
        Called with samples of one kind; returns an answer for each.
    limits
        How many may wait, and how many go together.
    """

    answer: Callable[[list[Any]], list[dict[str, Any]]]
    limits: Limits
    _queue: "asyncio.Queue[_Waiting]" = field(init=False)

    def __post_init__(self) -> None:
        self._queue = asyncio.Queue(self.limits.waiting)

    async def ask(self, samples: list[Any]) -> list[dict[str, Any]]:
        """Wait for the answers.

        Raises
        ------
        asyncio.QueueFull
            If too many are waiting.
        TimeoutError
            If it takes too long.
        """
        waiting = _Waiting(samples, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        return await asyncio.wait_for(waiting.answer, self.limits.seconds)

    async def run(self) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "answer") as thread:
            while True:
                batch = [waiting for waiting in await self._gather() if not waiting.answer.done()]
                samples = [sample for waiting in batch for sample in waiting.samples]
                try:
                    answers = await loop.run_in_executor(thread, self._by_kind, samples)
                except Exception as error:
                    if len(batch) > 1:  # one caller's samples must not cost the others their answers
                        for waiting in batch:
                            await self._answer_alone(thread, waiting)
                    elif not batch[0].answer.done():
                        batch[0].answer.set_exception(error)
                    continue
                for waiting in batch:
                    own, answers = answers[: len(waiting.samples)], answers[len(waiting.samples) :]
                    if not waiting.answer.done():  # its caller may have given up
                        waiting.answer.set_result(own)

    async def _answer_alone(self, thread: ThreadPoolExecutor, waiting: _Waiting) -> None:
        try:
            answers = await asyncio.get_running_loop().run_in_executor(thread, self._by_kind, waiting.samples)
        except Exception as error:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
        else:
            if not waiting.answer.done():
                waiting.answer.set_result(answers)

    async def _gather(self) -> list[_Waiting]:
        batch = [await self._queue.get()]
        count, until = len(batch[0].samples), asyncio.get_running_loop().time() + self.limits.gather
        while count < self.limits.batch and (left := until - asyncio.get_running_loop().time()) > 0:
            try:
                batch.append(await asyncio.wait_for(self._queue.get(), left))
            except TimeoutError:
                break
            count += len(batch[-1].samples)
        return batch

    def _by_kind(self, samples: list[Any]) -> list[dict[str, Any]]:
        """Answer for samples of one kind at a time: what one caller sends must not decide what another's is taken for."""
        answers: list[dict[str, Any]] = [{} for _ in samples]
        kinds = [kind_of(sample) for sample in samples]
        for kind in dict.fromkeys(kinds):
            rows = [row for row, own in enumerate(kinds) if own == kind]
            for row, answer in zip(rows, self.answer([samples[row] for row in rows]), strict=True):
                answers[row] = answer
        return answers


class _BodyLimit:
    """Refuses a request whose body is too large, whatever its headers say, or takes too long to arrive."""

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        self.app = app
        self.most = most
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = bytearray()
        try:
            async with asyncio.timeout(self.seconds):
                more = True
                while more and len(body) <= self.most:
                    message = await receive()
                    if message["type"] != "http.request":
                        return
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
        except TimeoutError:
            await JSONResponse({"detail": f"the request did not arrive within {self.seconds:g} s"}, 408)(scope, receive, send)
            return
        if len(body) > self.most:
            refusal = JSONResponse({"detail": f"the request is larger than {self.most:,} bytes"}, 413)
            await refusal(scope, receive, send)
            return
        told = False

        async def replay() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self.app(scope, replay, send)


def make_app(predictor: Predictor, name: str, limits: Limits | None = None) -> FastAPI:
    """Build the application that answers with a run.

    Parameters
    ----------
    predictor
        The run, its backbones at hand.
    name
        The run's, for `/health`.
    limits
        What a caller may ask for.
    """
    limits = limits or Limits()
    saved = predictor.saved
    takes = kinds_answered(saved)

    def answer(samples: list[Any]) -> list[dict[str, Any]]:
        answers = predictor.answer(Samples.of(samples, "request"))
        return [{key: value for key, value in entry.items() if key != "input"} for entry in answers]

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.batcher = batcher = Batcher(answer, limits)
        running = asyncio.create_task(batcher.run())
        yield
        running.cancel()

    app = FastAPI(title="headstart", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(_BodyLimit, most=limits.body, seconds=limits.seconds)

    async def health() -> dict[str, Any]:
        told = ["pair of texts" if kind == "text" and saved.pairs else kind for kind in takes]
        return {"status": "ok", "run": name, "task": saved.task, "classes": saved.names, "takes": told}

    async def predict(question: Question) -> dict[str, Any]:
        if len(question.inputs) > limits.items:
            raise HTTPException(413, f"{len(question.inputs):,} inputs in one request; at most {limits.items:,} are taken")
        samples = [_sample(entry, number, takes, saved.pairs) for number, entry in enumerate(question.inputs)]
        try:
            return {"predictions": await app.state.batcher.ask(samples)}
        except asyncio.QueueFull as error:
            raise HTTPException(503, "too many requests are waiting; try again", {"Retry-After": "1"}) from error
        except TimeoutError as error:
            raise HTTPException(503, f"no answer within {limits.seconds:g} s", {"Retry-After": "1"}) from error
        except HeadstartError as error:
            raise HTTPException(422, str(error)) from error

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return JSONResponse({"detail": explain(error)}, 422)

    app.add_exception_handler(RequestValidationError, refuse)
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/predict", predict, methods=["POST"])
    return app


def explain(error: RequestValidationError) -> str:
    """Say in a line what is wrong with a request that is no question, and where."""
    first = error.errors()[0]
    place = first["loc"][1:]
    if first["type"] == "json_invalid":
        return f"not JSON: {first['ctx']['error']} at character {place[0]}"
    if place[:1] == ("inputs",) and len(place) > 1:
        return f"inputs[{place[1]}] is no text, no pair of texts and no image as base64"
    named = ".".join(map(str, place)) or "the body"
    return f'{named}: {first["msg"][0].lower()}{first["msg"][1:]}; send {{"inputs": [...]}}'


def _sample(entry: str | Sequence[str] | Picture, number: int, takes: Sequence[str], pairs: bool | None) -> Any:
    """Make a sample of an input; what the run does not take is refused here, so that a text is never taken for a path."""
    sample: Any = entry
    if isinstance(entry, Picture):
        try:
            content = base64.b64decode(entry.image, validate=True)
        except (binascii.Error, ValueError) as error:
            raise HTTPException(422, f"inputs[{number}].image is not base64") from error
        sample = content if entry.text is None else ImageText(content, entry.text)
    kind = kind_of(sample)
    if kind not in takes or (kind == "text" and pairs == isinstance(sample, str)):
        ways = {
            "text": '["a text", "its pair"]' if pairs else "a text",
            "image": '{"image": BASE64}',
            "image and text": '{"image": BASE64, "text": ...}',
        }
        raise HTTPException(422, f"inputs[{number}] is no input of this run; send {' or '.join(ways[own] for own in takes)}")
    return sample


def warm_up(predictor: Predictor) -> None:
    """Have every backbone loaded before the first request.

    Raises
    ------
    BackboneError, RunError
        If that does not work.
    """
    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (90, 120, 150)).save(picture, "PNG")
    content = picture.getvalue()
    text = ("a text", "its pair") if predictor.saved.pairs else "a text"
    samples = {"text": text, "image": content, "image and text": ImageText(content, "a text")}
    predictor.answer(Samples.of([samples[kinds_answered(predictor.saved)[0]]]))
