"""The routes of search by a picture and by a sound: the body is the file."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, post
from litestar.datastructures import State as AppState
from litestar.params import QueryParameter

from matinee.errors import MatineeError
from matinee.serve import forms
from matinee.serve.describe import PictureOperation, SoundOperation
from matinee.serve.seek import LARGEST, Kind, hits, kept

AnyRequest = Request[Any, Any, AppState]
Many = Annotated[int, QueryParameter(ge=1, le=200, description="How many.")]
Where = Annotated[str, QueryParameter(max_length=2000, description='A filter: duration < 600 and "jazz" in tags')]
Lang = Annotated[str | None, QueryParameter(description="en or zh; otherwise Accept-Language decides.")]


async def answered(request: AnyRequest, kind: Kind, n: int, where: str) -> forms.Hits:
    from anyio.to_thread import run_sync

    from matinee.serve.http import lang_of, service_of

    raw, service, lang = await request.body(), service_of(request), lang_of(request)
    if not raw:
        raise MatineeError(
            "seek.empty", "The body is the file itself, and it is empty.", "请求体应为文件内容，但它是空的。"
        )

    def work() -> forms.Hits:
        with kept(raw) as fd:
            return hits(service, service.seeker.perceive(kind, fd), n, lang, where)

    return await run_sync(work)


@post("/search/picture", status_code=200, request_max_body_size=LARGEST, operation_class=PictureOperation)
async def search_picture(request: AnyRequest, n: Many = 20, where: Where = "", lang: Lang = None) -> forms.Hits:
    """Items that look like a picture, and items whose words say what it shows. The body is the picture's file."""
    return await answered(request, "picture", n, where)


@post("/search/sound", status_code=200, request_max_body_size=LARGEST, operation_class=SoundOperation)
async def search_sound(request: AnyRequest, n: Many = 20, where: Where = "", lang: Lang = None) -> forms.Hits:
    """Items that sound like a sound or a video, of which the first half minute or six parts of a longer one are heard.
    The body is the file."""
    return await answered(request, "sound", n, where)


HANDLERS = (search_picture, search_sound)
