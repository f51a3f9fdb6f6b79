"""A server that speaks like language models' servers and answers by a policy; nothing that it says is a model's."""

from rcabench.testing.scripted.cards import SCRIPTED_PRICES, card_for
from rcabench.testing.scripted.exchange import Fault, Policy, ScriptedReply, ScriptedRequest, UsageReport, counted
from rcabench.testing.scripted.fuzz import Fuzz
from rcabench.testing.scripted.model import ScriptedModel
from rcabench.testing.scripted.policies import Fixed, Noisy
from rcabench.testing.scripted.server import ScriptedServer
from rcabench.testing.scripted.strongest import Strongest

__all__ = [
    "SCRIPTED_PRICES",
    "Fault",
    "Fixed",
    "Fuzz",
    "Noisy",
    "Policy",
    "ScriptedModel",
    "ScriptedReply",
    "ScriptedRequest",
    "ScriptedServer",
    "Strongest",
    "UsageReport",
    "card_for",
    "counted",
]
