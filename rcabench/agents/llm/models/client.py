"""A model behind AutoGen's clients: our requests out, our replies and troubles back."""

from __future__ import annotations

import asyncio
import re
import warnings
from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo
from autogen_core.tools import ToolSchema

from rcabench.agents.llm.models.access import Access, access_to
from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import FinishReason, ModelError, Reply, Request, ToolCall
from rcabench.agents.llm.models.chunks import arriving
from rcabench.agents.llm.models.conversion import autogen_messages, autogen_tools, sendable, usable_calls
from rcabench.agents.llm.models.failure import as_model_error, without_secrets
from rcabench.agents.llm.models.guard import guard
from rcabench.agents.llm.models.overheard import (
    Overheard,
    hear_anthropic,
    hear_ollama,
    hear_openai,
    listen_to,
    listening,
)
from rcabench.core.errors import ConfigError
from rcabench.core.trouble import Trouble

_NO_KEY = "none"
"""Sent where a server needs no key: the SDKs refuse to be built without any, or look for one by themselves."""


class AutogenModel:
    """A chat model over AutoGen's client of the card's provider.

    Retries of the SDK are off; see `Persistent`. A call takes at most the card's seconds, all in all.
    Cancelling it lets go of the connection at once. Built where no event loop runs or where one
    does, it belongs to the loop of its first call.

    Args:
        card: of the model.
        environment: with keys and addresses; by default the process's own.

    Raises:
        ConfigError: a key, an address or a package is missing.
    """

    def __init__(self, card: ModelCard, environment: Mapping[str, str] | None = None) -> None:
        access = access_to(card, environment)
        self._card = card
        self._secrets = tuple(access.secrets.values())
        self._client = _client(card, access)

    def __repr__(self) -> str:
        return f"AutogenModel({self._card.name!r})"

    @property
    def card(self) -> ModelCard:
        """Which model it is, and how it is asked."""
        return self._card

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer.

        Raises:
            ModelError: there is none.
        """
        if request.tools and not self._card.takes_tools:
            raise ModelError(Trouble.REJECTED, f"the card {self._card.name!r} says that this model takes no tools")
        messages = autogen_messages(request.messages)
        tools = autogen_tools(request, self._card.provider)
        with listening() as heard, arriving() as arrival:
            try:
                async with asyncio.timeout(self._card.timeout_seconds):
                    result = await self._result(messages, tools, request)
            except Exception as error:  # noqa: BLE001 - this is where whatever a client raises becomes data
                # Not chained: the SDK's exceptions carry the request, and with it the key.
                raise self._failure(error, heard, begun=arrival.first_seconds is not None) from None
            finally:
                await heard.close()
        return self._reply(request, result, heard)

    async def close(self) -> None:
        """Close its connections."""
        if self._card.provider == "ollama":
            await self._sdk.close()
        else:
            await self._client.close()

    @property
    def _sdk(self) -> Any:
        return self._client._client  # type: ignore[attr-defined]  # all but the replay client have one

    @property
    def _streams(self) -> bool:
        return self._card.stream and self._card.provider != "replay"

    async def _result(
        self, messages: Sequence[LLMMessage], tools: Sequence[ToolSchema], request: Request
    ) -> CreateResult:
        if not self._streams:
            return await self._client.create(messages, tools=tools, tool_choice=request.tool_choice)
        extra: dict[str, Any] = {}
        if self._card.provider in ("openai", "azure"):
            extra["stream_options"] = {"include_usage": True}
        stream = self._client.create_stream(
            messages, tools=tools, tool_choice=request.tool_choice, extra_create_args=extra
        )
        result: CreateResult | None = None
        async with aclosing(stream):
            async for part in stream:
                if isinstance(part, CreateResult):
                    result = part
        if result is None:
            raise ModelError(Trouble.MALFORMED_RESPONSE, "the stream ended without an answer")
        return result

    def _failure(self, error: Exception, heard: Overheard, *, begun: bool) -> ModelError:
        if isinstance(error, TimeoutError) and not str(error):
            message = f"no answer within {self._card.timeout_seconds:g} seconds"
            return ModelError(Trouble.TIMEOUT, message)
        if self._card.provider == "replay" and isinstance(error, ValueError):
            return ModelError(Trouble.QUOTA, f"all replies of the card {self._card.name!r} are used up")
        # What has begun took tokens, and limits count it: counts that are not known are estimated, unlike none at all.
        tokens = heard.tokens if begun or heard.tokens.input is not None else None
        return as_model_error(error, secrets=self._secrets, tokens=tokens, begun=begun)

    def _reply(self, request: Request, result: CreateResult, heard: Overheard) -> Reply:
        calls = _calls(result, request, rename=self._card.provider == "ollama")
        said = result.content if isinstance(result.content, str) else ""
        # Ollama's stream of a single piece is lost on AutoGen, and so is text beside tool calls.
        text = said or heard.text
        if self._card.provider == "replay":
            return Reply(text=text, model=self._card.model)
        finish = FinishReason.TOOL_CALLS if calls else heard.finish_reason
        self._refuse(heard, finish, answered=bool(text.strip() or calls))
        thought = heard.thought or (result.thought if said else None)
        return Reply(
            text=sendable(text),
            tool_calls=calls,
            finish_reason=finish,
            tokens=replace(heard.tokens, output=heard.tokens.output or None),
            model=heard.model and sendable(heard.model),
            id=heard.id and sendable(heard.id),
            thought=thought and sendable(thought),
        )

    def _refuse(self, heard: Overheard, finish: FinishReason, *, answered: bool) -> None:
        """Raise a `ModelError` for what AutoGen takes for an answer and is none."""
        if finish is FinishReason.CONTENT_FILTER or (heard.refusal and not answered):
            why = without_secrets(heard.refusal, self._secrets) or "its content filter stopped the answer"
            raise ModelError(Trouble.REFUSAL, f"the model refuses: {why}", tokens=heard.tokens)
        if self._streams and heard.stopped is None:
            raise ModelError(Trouble.MALFORMED_RESPONSE, "the stream was cut off", tokens=heard.tokens)
        if heard.finish_reason is FinishReason.TOOL_CALLS and finish is not FinishReason.TOOL_CALLS:
            message = "the model wants tools, and does not say which"
            raise ModelError(Trouble.MALFORMED_RESPONSE, message, tokens=heard.tokens)
        if finish is FinishReason.STOP and not answered:
            raise ModelError(Trouble.REFUSAL, "the answer is empty", tokens=heard.tokens)


_SHARED: WeakKeyDictionary[AbstractEventLoop, list[AutogenModel]] = WeakKeyDictionary()
"""Connections cannot move between event loops, and die with theirs."""


def shared_model(card: ModelCard) -> AutogenModel:
    """Return the running event loop's model for this card; building one takes 20 to 50 ms.

    Raises:
        ConfigError: a key, an address or a package is missing.
    """
    models = _SHARED.setdefault(asyncio.get_running_loop(), [])
    for model in models:
        if model.card == card:
            return model
    models.append(AutogenModel(card))
    return models[-1]


async def close_models() -> None:
    """Close all connections that `shared_model` opened in the running event loop; call it before the loop ends."""
    for model in _SHARED.pop(asyncio.get_running_loop(), ()):
        await model.close()


def _calls(result: CreateResult, request: Request, *, rename: bool) -> tuple[ToolCall, ...]:
    if isinstance(result.content, str):
        return ()
    calls = [
        ToolCall(id=sendable(call.id or ""), name=call.name, arguments=sendable(call.arguments))
        for call in result.content
    ]
    return usable_calls(calls, request, rename=rename)


def _client(card: ModelCard, access: Access) -> ChatCompletionClient:
    # AutoGen warns of whatever is odd about an answer, in the name of who called it; what matters of it is in the
    # reply, or is a trouble.
    warnings.filterwarnings("ignore", category=UserWarning, module=re.escape(__name__))
    try:
        client, owner, method, hear = _BUILDERS[card.provider](card, access)
    except ImportError as error:
        advice = f"pip install 'rcabench-eval[{card.provider}]'"
        raise ConfigError(f"model {card.name!r}", [f"its client cannot be imported: {error}; {advice}"]) from None
    if owner is not None:
        guard(_http(client), card.provider, streams=card.stream, secrets=tuple(access.secrets.values()))
        listen_to(owner, method, hear)
    return client


_Built = tuple[ChatCompletionClient, Any, str, Callable[[Overheard, Any], None]]


def _openai(card: ModelCard, access: Access) -> _Built:
    settings = {key: access.settings[key] for key in ("base_url", "organization") if key in access.settings}
    build = _class("openai", "OpenAIChatCompletionClient")
    client = build(
        **_common(card),
        **settings,
        **_direct("openai", access),
        api_key=access.secrets.get("api_key", _NO_KEY),
        include_name_in_message=False,
    )
    return client, client._client.chat.completions, "create", hear_openai


def _azure(card: ModelCard, access: Access) -> _Built:
    keys = ("azure_endpoint", "azure_deployment", "api_version")
    settings = {key: access.settings[key] for key in keys}
    build = _class("openai", "AzureOpenAIChatCompletionClient")
    client = build(
        **_common(card), **settings, **_direct("openai", access), **access.secrets, include_name_in_message=False
    )
    return client, client._client.chat.completions, "create", hear_openai


def _anthropic(card: ModelCard, access: Access) -> _Built:
    build = _class("anthropic", "AnthropicChatCompletionClient")
    key = access.secrets.get("api_key", _NO_KEY)
    direct = _direct("anthropic", access)
    client = build(**_common(card), base_url=access.settings["base_url"], **direct, api_key=key)
    return client, client._client.messages, "create", hear_anthropic


def _ollama(card: ModelCard, access: Access) -> _Built:
    build = _class("ollama", "OllamaChatCompletionClient")
    client = build(model=card.model, model_info=_info(card), host=access.settings["base_url"], **card.parameters)
    if access.is_local:
        # AutoGen hands on nothing but the host.
        client._client = import_module("ollama").AsyncClient(host=access.settings["base_url"], trust_env=False)
    headers = _http(client).headers
    # The SDK sends OLLAMA_API_KEY to any host, where it is set; ours goes where the card says.
    headers.pop("authorization", None)
    if "api_key" in access.secrets:
        headers["authorization"] = f"Bearer {access.secrets['api_key']}"
    return client, client._client, "chat", hear_ollama


def _replay(card: ModelCard, access: Access) -> _Built:
    build = _class("replay", "ReplayChatCompletionClient")
    return build(list(access.settings["replies"]), model_info=_info(card)), None, "", hear_openai


_BUILDERS: Mapping[str, Callable[[ModelCard, Access], _Built]] = {
    "openai": _openai, "azure": _azure, "anthropic": _anthropic, "ollama": _ollama, "replay": _replay,
}  # fmt: skip


def _http(client: Any) -> Any:
    """Return the HTTP client of the SDK's client of AutoGen's client."""
    return client._client._client


def _class(module: str, name: str) -> Any:
    return getattr(import_module(f"autogen_ext.models.{module}"), name)


def _direct(sdk: str, access: Access) -> dict[str, Any]:
    """Return what keeps a client from the environment's proxies, where the model is on this machine."""
    if not access.is_local:
        return {}
    # Anthropic's looks for proxies by itself, and lets what is mounted come first.
    mounts = dict.fromkeys(("all://", "http://", "https://"))
    return {"http_client": import_module(sdk).DefaultAsyncHttpxClient(trust_env=False, mounts=mounts)}


def _common(card: ModelCard) -> dict[str, Any]:
    return {
        "model": card.model,
        "model_info": _info(card),
        "timeout": card.timeout_seconds,
        "max_retries": 0,
        **card.parameters,
    }


def _info(card: ModelCard) -> ModelInfo:
    usual = ModelInfo(vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False)
    return {**usual, **card.facts}  # type: ignore[typeddict-item]  # the card's facts are checked where it is read
