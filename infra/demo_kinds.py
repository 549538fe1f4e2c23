"""The rules that the demo's town lives by: the kinds that ship, and their texts in one language more.

It is what a site does that speaks a language which does not ship: a line for each kind, in a file of its own. Pure.
"""

from typing import Final

from fanbell.streams.core.kinds import default_source

LOCALE: Final = "ar"
"""Written from right to left, so that the page can show that too."""
PEOPLE: Final = '["{0}", "{0} و{1}", "{0} و{n} آخرون"]'
TEXTS: Final = {
    "follow": "بدأ {{ people }} بمتابعتك",
    "post": "نشر {{ people }}{% if data.title %}: {{ data.title }}{% endif %}",
    "comment": "علّق {{ people }}{% if reason == 'comment' %} على منشورك{% elif reason == 'mention' %} وذكرك{% else %} "
    "في نقاش تشارك فيه{% endif %}",
    "reply": "رد {{ people }}{% if reason == 'reply' %} عليك{% elif reason == 'mention' %} وذكرك{% else %} "
    "في نقاش تشارك فيه{% endif %}",
    "like": "أُعجب {{ people }} بمنشورك",
    "repost": "أعاد {{ people }} نشر منشورك",
    "mention": "ذكرك {{ people }}",
    "message": "أرسل إليك {{ people }} رسالة",
}


def demo_source() -> str:
    """The TOML text of the rules. Raises ValueError where a kind that has a text above no longer ships."""
    source = default_source() + f"\n[locales.{LOCALE}]\npeople = {PEOPLE}\n"
    for kind, text in TEXTS.items():
        head = f"[kinds.{kind}.text]\n"
        if head not in source:
            raise ValueError(f"the kind {kind} has no texts to add one to")
        source = source.replace(head, f'{head}{LOCALE} = "{text}"\n')
    return source
