"""What an answer to AddOrder proves. Anything that is not proof of acceptance or refusal must stay unclear."""

from __future__ import annotations

import json

import pytest

from rebalancer_pipelines.adapters.venues.ccxt.kraken.classification import classify
from rebalancer_pipelines.adapters.venues.ccxt.raw_answer import Failure, RawAnswer
from rebalancer_pipelines.application.ports import Accepted, Rejected, Unclear

TXID = "OQCLML-BW3P3-BUCMWZ"
PAGE = "<html><head><title>502 Bad Gateway</title></head></html>"
ACCEPTED = json.dumps({"error": [], "result": {"descr": {"order": "buy 1 XBTEUR"}, "txid": [TXID]}})


def body(*errors: object, **others: object) -> str:
    return json.dumps({"error": list(errors), **others})


@pytest.mark.parametrize(
    "text",
    [
        ACCEPTED,
        body(result={"txid": [TXID]}),
        body("WDatabase:Slow response", result={"txid": [TXID]}),
        # Whatever else is said, there is an order with this id.
        body("EOrder:Insufficient funds", result={"txid": [TXID]}),
        json.dumps({"result": {"txid": [TXID]}}),
    ],
)
def test_an_id_is_proof_of_the_order(text: str) -> None:
    assert classify(RawAnswer(200, text)) == Accepted(TXID)


@pytest.mark.parametrize(
    "error",
    [
        "EOrder:Insufficient funds",
        "EOrder:Cost minimum not met",
        "EOrder:Tick size check failed",
        "EOrder:Rate limit exceeded",
        "EOrder:Orders limit exceeded",
        "EGeneral:Invalid arguments",
        "EGeneral:Invalid arguments:volume",
        "EGeneral:Permission denied",
        "EGeneral:Temporary lockout",
        "EAPI:Invalid nonce",
        "EAPI:Invalid key",
        "EAPI:Invalid signature",
        "EAPI:Rate limit exceeded",
        "EQuery:Unknown asset pair",
        "EService:Market in cancel_only mode",
        "EService:Market in post_only mode",
        "EService:Market in limit_only mode: try later",
    ],
)
def test_definite_refusals_are_proof_of_no_order(error: str) -> None:
    assert classify(RawAnswer(200, body(error))) == Rejected(error)
    assert classify(RawAnswer(200, body(error, result={}))) == Rejected(error)
    assert classify(RawAnswer(200, body(error, result=None))) == Rejected(error)


def test_several_definite_refusals_are_all_told() -> None:
    answer = classify(RawAnswer(200, body("EOrder:Insufficient funds", "EGeneral:Invalid arguments:price")))
    assert answer == Rejected("EOrder:Insufficient funds; EGeneral:Invalid arguments:price")


@pytest.mark.parametrize(
    "errors",
    [
        ["EService:Unavailable"],
        ["EService:Busy"],
        ["EService:Timeout"],
        ["EService:Deadline elapsed"],
        ["EService:Throttled: 1772452800"],
        ["EService:Market in maintenance"],
        ["EGeneral:Internal error"],
        ["EGeneral:Unknown method"],
        ["EGeneral:Temporary"],
        ["EFunding:Unknown"],
        ["EOrder"],
        ["eorder:insufficient funds"],
        ["WDatabase:Slow response"],
        ["something else"],
        [""],
        ["EOrder:Insufficient funds", "EService:Unavailable"],
        ["EOrder:Insufficient funds", "EGeneral:Internal error"],
        ["EOrder:Insufficient funds", "WDatabase:Slow response"],
        ["EOrder:Insufficient funds", 1],
        ["EOrder:Insufficient funds", None],
        [["EOrder:Insufficient funds"]],
        [],
    ],
)
def test_any_other_error_list_proves_nothing(errors: list[object]) -> None:
    assert isinstance(classify(RawAnswer(200, body(*errors))), Unclear)
    assert isinstance(classify(RawAnswer(200, body(*errors, result={"descr": {}}))), Unclear)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "true",
        "0",
        "NaN",
        '""',
        "[]",
        "{}",
        "[[]]",
        PAGE,
        f'["{TXID}"]',
        ACCEPTED[:-10],
        ACCEPTED[: len(ACCEPTED) // 2],
        ACCEPTED + "}",
        '{"error":[]}',
        '{"error":null}',
        '{"error":"EOrder:Insufficient funds"}',
        '{"error":{"0":"EOrder:Insufficient funds"}}',
        '{"errors":["EOrder:Insufficient funds"]}',
        '{"error":["EOrder:Insufficient funds"',
        '{"error":[],"result":null}',
        '{"error":[],"result":{}}',
        '{"error":[],"result":[]}',
        '{"error":[],"result":{"txid":[]}}',
        '{"error":[],"result":{"txid":null}}',
        '{"error":[],"result":{"txid":[null]}}',
        '{"error":[],"result":{"txid":[""]}}',
        '{"error":[],"result":{"txid":[" "]}}',
        '{"error":[],"result":{"txid":[17]}}',
        f'{{"error":[],"result":{{"txid":"{TXID}"}}}}',
        f'{{"error":[],"result":{{"txid":["{TXID}","{TXID}"]}}}}',
        # A refusal beside something that looks like an order.
        '{"error":["EOrder:Insufficient funds"],"result":{"txid":[]}}',
        f'{{"error":["EOrder:Insufficient funds"],"result":{{"txid":"{TXID}"}}}}',
        f'{{"error":["EOrder:Insufficient funds"],"result":[{{"txid":["{TXID}"]}}]}}',
        "[" * 100_000,
    ],
)
def test_a_body_without_proof_is_unclear(text: str) -> None:
    assert isinstance(classify(RawAnswer(200, text)), Unclear)


@pytest.mark.parametrize(
    "status", [100, 201, 204, 301, 307, 400, 401, 403, 404, 429, 500, 502, 503, 504, 520, 523, 524]
)
@pytest.mark.parametrize("text", [ACCEPTED, body("EOrder:Insufficient funds"), PAGE, ""])
def test_any_other_status_is_unclear_whatever_it_says(status: int, text: str) -> None:
    assert isinstance(classify(RawAnswer(status, text)), Unclear)


@pytest.mark.parametrize("failure", Failure)
def test_no_answer_is_unclear_whatever_the_failure(failure: Failure) -> None:
    assert isinstance(classify(RawAnswer(failure=failure, words="ConnectionError: reset")), Unclear)
    assert isinstance(classify(RawAnswer(failure=failure)), Unclear)


def test_what_certainly_never_left_is_refused() -> None:
    answer = classify(RawAnswer(failure=Failure.REFUSED, words="nobody listens", never_sent=True))
    assert answer == Rejected("EService:Unavailable (nobody listens)")


@pytest.mark.parametrize(
    "answer",
    [
        RawAnswer(200, "<html>\n" + "x\r\n" * 500),
        RawAnswer(200, body("EOrder:" + "very\n" * 500)),
        RawAnswer(200, body("EService:" + "very\n" * 500)),
        RawAnswer(failure=Failure.OTHER, words="long\n" * 500),
        RawAnswer(failure=Failure.OTHER, words="long\n" * 500, never_sent=True),
    ],
)
def test_a_reason_is_one_short_line(answer: RawAnswer) -> None:
    verdict = classify(answer)
    assert isinstance(verdict, Rejected | Unclear)
    assert 0 < len(verdict.reason) <= 200
    assert verdict.reason.isprintable()
