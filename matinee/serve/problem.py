"""Errors as RFC 9457 problems, in the language of the one who asks. No stack trace leaves the server."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from matinee.errors import Language, MatineeError
from matinee.serve import words
from matinee.serve.forms import Problem

log = logging.getLogger("matinee.serve")
MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: ("The request is wrong", "请求有误"),
    401: ("A key is needed", "需要密钥"),
    403: ("Not allowed", "不允许"),
    404: ("Not found", "未找到"),
    405: ("Method not allowed", "不支持的方法"),
    413: ("Too large", "内容过大"),
    416: ("Range not satisfiable", "范围无法满足"),
    422: ("The file cannot be used", "文件无法使用"),
    421: ("Unknown host", "未知的主机名"),
    429: ("Too many requests", "请求过多"),
    500: ("The server failed", "服务器出错"),
    503: ("Busy", "服务繁忙"),
    507: ("No space left", "磁盘已满"),
}
SAID = {
    404: ("There is nothing at this address.", "此地址没有内容。"),
    405: ("This address does not take this method.", "此地址不支持该方法。"),
    413: ("The body is too large; send less at a time.", "请求体过大；请分批发送。"),
    503: (
        "There is not memory enough for this now. Ask for less, or try again.",
        "内存不足。请减少请求内容或稍后重试。",
    ),
    500: ("Something failed inside the server; its log says what.", "服务器内部出错；日志中有详情。"),
}


def problem(status: int, code: str, detail: str, lang: Language) -> Problem:
    title = words.pick(TITLES.get(status, TITLES[400 if status < 500 else 500]), lang)
    return Problem(type=f"urn:matinee:{code}", title=title, status=status, detail=detail, code=code)


def body(status: int, code: str, detail: str, lang: Language) -> bytes:
    return msgspec.json.encode(problem(status, code, detail, lang))


def _lang(request: Request[Any, Any, Any]) -> Language:
    return words.language_of(request.headers.get("accept-language"), request.query_params.get("lang"))


def on_matinee_error(request: Request[Any, Any, Any], error: MatineeError) -> Response[Any]:
    if error.status >= 500:
        log.error("%s: %s", error.code, error.en)
    lang = _lang(request)
    return _response(problem(error.status, error.code, error.say(lang), lang))


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    lang, status = _lang(request), error.status_code
    detail = words.pick(SAID[status], lang) if status in SAID else error.detail
    for each in error.extra if isinstance(error.extra, list) else ():
        if isinstance(each, dict):
            detail += f" {each.get('key', '')}: {each.get('message', '')}."
    return _response(problem(status, f"http.{status}", detail, lang), error.headers)


def on_any_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    if isinstance(error, MemoryError):  # of this request alone: what it held is free again
        log.error("server.memory: a request needed more memory than there is")
        detail = words.pick(SAID[503], _lang(request))
        return _response(problem(503, "server.memory", detail, _lang(request)), {"retry-after": "2"})
    log.error("unexpected", exc_info=error)
    lang = _lang(request)
    return _response(problem(500, "server.failed", words.pick(SAID[500], lang), lang))


def _response(told: Problem, headers: dict[str, str] | None = None) -> Response[Any]:
    return Response(msgspec.json.encode(told), status_code=told.status, media_type=MEDIA_TYPE, headers=headers or {})
