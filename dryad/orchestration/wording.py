"""How requests say what they want: commands, effects, questions, references; English first.

Effects are looked for in German, French and Spanish as well, because missing one is worse than
missing a chance to work side by side.
"""

import re

MOST_CHARACTERS = 1_000
"""Of one piece of work, that are looked at for what it asks."""

QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|„[^“]*“|«[^»]*»|`[^`]*`|(?<!\w)'[^'\n]*'(?!\w)")

_POLITE = (
    r"please|kindly|pls|bitte|merci de|por favor|hey|"
    r"(?:can|could|would|will) you(?: please)?|go ahead and|make sure(?: to| you)?|be so kind and|"
    r"(?:i|we)(?:'d| would)? (?:want|need|like|have)(?: you| someone| somebody)? to|"
    r"you (?:must|should|have to)|"
    r"(?:somebody|someone|one person|another)(?: else)? (?:should|must|could|needs to|has to)|"
    r"let'?s|"
    r"and|or|then|also|finally|next|lastly|afterwards|after that|separately|independently|"
    r"meanwhile|in parallel|at the same time|in addition|additionally|on top of that|unrelated|"
    r"with (?:that|those|this|these|it|them)(?: \w+)?|"
    r"first|second|third|otherwise|dann|und|et|puis|y|luego"
)
BEGIN = (
    rf"^\W*(?:(?:{_POLITE}|"
    r"(?:if|unless|once|when|whenever|in case|as soon as|before|after|should) [^,;]{0,300},)"
    r"[\s,]+)*+"  # possessive: no backtracking through words that are said a thousand times
)
_LINK = (
    r"(?:(?:^|[.!?;:,])\s+|\b(?:and|then|or)\s+|"
    r"\b(?:when|once|after|as soon as) (?:[\w'’]+ ){1,4}?(?:done|finished|ready|complete\w*),?\s+)"
    rf"(?:(?:{_POLITE})[\s,]+)*+"
)
"""A further command of the same text follows one of these."""

MESSAGE = (
    r"(?:(?:notify|send|e-?mail|mail|tell|inform|alert|message|announce|publish|page|text|forward|post|"
    r"ping|nudge|chase|remind|invite|contact|phone|brief|escalate|tweet|cc|dm|"
    r"loop in|reach out|follow up with|get (?:back )?in touch|reply to|respond to|write to|"
    r"(?:give|drop|shoot) (?:\w+ ){1,4}?(?:a |an )?(?:heads-?up|notice|ring|line|e-?mail|message)|"
    r"let (?:[\w.'-]+ ){1,6}?know|make (?:[\w.'-]+ ){1,4}?aware)\b"
    r"(?!\s+(?:me|us|mortem)\b)(?<!let me know)(?<!let us know))"
)
_SYSTEM = (
    r"(?:crm|erp|prod(?:uction)?|servers?|clusters?|nodes?|(?:node )?pools?|gateways?|routers?|"
    r"cert(?:ificate)?s?|databases?|accounts?|users?|groups?|roles?|permissions?|access|rights|"
    r"passwords?|polic(?:y|ies)|settings?|config\w*|flags?|features?|subscriptions?|licen[cs]es?|"
    r"tickets?|cases?|queues?|buckets?|backups?|dns|firewall|limits?|quotas?|minimum|maximum|"
    r"branch(?:es)?|pipelines?|services?|(?:web ?)?sites?|systems?|calendar|schedules?|"
    r"subscribers?|tenants?|disks?|volumes?|instances?|environments?|racks?|devices?|thresholds?)"
)
_NEAR_SYSTEM = rf"\b(?=[^.;\n]{{0,80}}?\b{_SYSTEM}\b)(?![^.;\n]*\b(?:in memory|draft|copy)\b)"
OPERATION = (
    r"(?:(?:delete|erase|purge|wipe|destroy|truncate|overwrite|get rid of|throw (?:\w+ )?away|"
    r"free up|drop (?:(?:the |all )?tables?|everything)|set (?:the )?(?:\w+ ){1,2}to|"
    r"deploy|release (?!notes?)|"
    r"roll(?:ing)? ?(?:\w+ ){0,3}?(?:back|out)|"
    r"restart|reboot|shut ?down|take down|drain|fail ?over|scale (?:up|down|out)|"
    r"bring (?:\w+ ){0,4}?(?:back )?(?:up|down|online)|stop (?:the|all)|"
    r"(?:switch|turn) (?:\w+ ){0,6}?(?:off|on)|toggle|install|uninstall|upgrade|migrate|patch|"
    r"rotate|go live|ship (?!log)|pay|wire|transfer|refund|charge|invoice|credit|reimburse|buy|"
    r"purchase|sell|place (?:\w+ ){0,3}?order|order (?:an?|some|\d+|\w+ of|more)|"
    r"give (?:[\w.'-]+ ){1,5}?(?:credit|refund|discount|access|rights|raise)|"
    r"book|reserve|rent|hire|fire|cancel|terminate|renew|grant|revoke|suspend|disable|enable|lock|"
    r"unlock|unblock|whitelist|sign|submit|enrol+|register|subscribe|unsubscribe|"
    r"schedule (?:an?|the)|call (?!.*\bfunction)|approve|reject|block|ban|force|"
    r"drive (?:over|to)|fly to|pick up|swap)\b|"
    r"(?:change|update|modify|edit|adjust|raise|lower|increase|decrease|set|reset|merge|remove|add|"
    r"move|close|re-?open|clear|empty|replace|rename|create|configure|fix|clean up|open|"
    rf"put|push|restore){_NEAR_SYSTEM})"
)
_FOREIGN_MESSAGE = (
    r"(?:gib\b.{1,80}\bbescheid|geben sie\b.{1,80}\bbescheid|(?:benachrichtig|informier|kontaktier)"
    r"(?:e|en|t)|(?:schick|schicken?|senden?|mailen?|schreib|schreiben?)\b.{0,80}\b(?:an|ihm|ihnen|ihr|dem|der)|"
    r"(?:ruf|rufe|rufen)\b.{1,60}\ban|erinner(?:e|n)|antworte(?:n)?|sag\b.{1,60}\bdass|teil\w*\b"
    r".{1,80}\bmit|"
    r"avert(?:ir|is|issez)|prév(?:enir|iens|enez)|envo(?:yer|ie|yez)|notifi(?:er|e|ez)|"
    r"inform(?:er|ez)|contact(?:er|ez)|répond(?:re|s|ez) (?:à|au|aux)|écri(?:re|s|vez) (?:à|au|aux)"
    r"|relanc(?:er|e|ez)|"
    r"env(?:iar|ía|íe)(?:les?)?|mand(?:ar|a|e)(?:les?)?|avis(?:ar|a|e)(?:les?)?|"
    r"notif(?:icar|ica|ique)|inform(?:ar|a|e)(?:les?)? a|contact(?:ar|a|e)|"
    r"respond(?:er|e|a)(?:les?)?|"
    r"(?:mánd|envía|díga?|avís|pás)\w*(?:selo|sela|les|le)|escrib(?:ir|e|a)(?:les?)? a|"
    r"llam(?:ar|a|e)(?:les?)? a)\b"
)
_FOREIGN_OPERATION = (
    r"(?:leg(?:e|en)?\b.{1,80}?\ban\b|gib\b.{1,60}?rechte|(?<!zum )(?<!beim )(?<!vom )(?<!das )"
    r"lösch(?:e|en)|doi(?:t|vent) être \w+|"
    r"entfern(?:e|en)|starte(?:n)?\b.{1,80}\bneu|neu(?:zu)?starten|"
    r"(?:schalt|fahr)(?:e|en)?\b.{1,60}\b(?:ab|aus|ein|hoch|herunter)|überweis(?:e|en)|"
    r"bezahl(?:e|en)|kündig(?:e|en)|stornier(?:e|en)|bestell(?:e|en)|buch(?:e|en)|"
    r"deaktivier(?:e|en)|aktivier(?:e|en)|sperr(?:e|en)|entzieh(?:e|en)|installier(?:e|en)|"
    r"supprim(?:er|e|ez)|effac(?:er|e|ez)|redémarr(?:er|e|ez)|résili(?:er|e|ez)|annul(?:er|e|ez)|"
    r"payez|vir(?:er|ez)|command(?:er|ez)|réserve(?:z)?|désactiv(?:er|e|ez)|"
    r"activ(?:er|ez)|bloqu(?:er|e|ez)|révoqu(?:er|e|ez)|déploy(?:er|ez)|"
    r"borr(?:ar|a|e)|elimin(?:ar|a|e)|reinici(?:ar|a|e)|cancel(?:ar|a|e)|pag(?:ar|a|ue)|"
    r"transf(?:erir|iere|iera)|compr(?:ar|a)|reserv(?:ar|a)|desactiv(?:ar|a|e)|"
    r"bloque(?:ar|a|e)|revo(?:car|ca|que)|despleg(?:ar|ue)|despliega)\b"
)
_DONE = (
    r"(?:deleted|erased|purged|wiped|removed|thrown (?:away|out)|switched (?:off|on)|turned "
    r"(?:off|on)|disabled|enabled|revoked|granted|restarted|rebooted|deployed|rolled (?:back|out)|"
    r"released|cancell?ed|paid|refunded|transferred|wired|ordered|booked|reset|upgraded|installed|"
    r"migrated|blocked|unblocked|locked|suspended|closed|approved|signed)"
)
_CHANGED = (
    r"(?:changed|updated|modified|adjusted|raised|lowered|added|created|opened|moved|replaced|"
    r"renamed|merged|extended|shortened)"
)
_TOLD = r"(?:sent(?! to me)|notified|informed|told|contacted|published|posted|announced|e?mailed)"
_PASSIVE = (
    r"(?:\b(?:should|must|needs? to|ha(?:s|ve) to|ought to)\b|(?:^|[.!?]\s+)(?:can|could|may)\b)"
    r"[^.;,\n]{0,80}?\bbe "
)
_OUTSIDE = (
    r"\b(?:off|from|on|via)\s+(?:the\s+)?(?:[\w.-]+\s+)?"
    r"(?:web|internet|(?:web ?)?site|intranet|api)\b|"
    r"\b(?:use|call|query|hit|fetch|pull|ask)\b[^.;\n]{0,60}\bapi\b|"
    r"\b(?:online|google) (?:for|search)\b|\bsearch (?:the web|online|google)\b"
)
_NEGATED = re.compile(
    r"\b(?:do(?:es)?n['’]?t|do not|never|without|no need to|no one|nobody|nothing|none|not to|"
    r"no \w+ (?:is|are|should|may)|not yet|rather than|instead of|ne|sans|sin|ohne)\b[^.;:!?\n]*|"
    r"\b(?:nicht|nichts|kein\w*|pas|rien|no|nada)\b[^.;:,!?\n]*|"
    r"[^.;:,!?\n]*\b(?:noch )?(?:nichts|nicht|rien)\b[^.;:,!?\n]*",
    re.IGNORECASE,
)

_COMPUTING = (
    r"(?:calculat\w*|comput\w*|work out|average|multipl\w*|divid\w*|subtract|add up|add|sum|count|"
    r"plot|regress|convert|crunch|tally|simulate|model|forecast|estimate|benchmark|fit|score)\b"
)
_LOOKING = (
    r"(?:find|search|look|explain|describe|summar\w*|outline|list|compare|contrast|review|research|"
    r"investigate|analy[sz]e|read|check|verify|show|give|draft|report|determine|identify|collect|"
    r"quote|define|discuss|assess|evaluate|combine|merge|put|bring|synthesi[sz]e|write|save|store|"
    r"export|translate|extract|rank|recommend|suggest|propose|improve|set up|make|create|prepare|"
    r"build|tell|work|take|load|open|get|use|run|drop|filter|figure out|dig|pull|break down|walk|"
    r"turn|rewrite|finish|drain|say|see|go through)\b"
)
_PIECE_OF_WORK = (
    r"(?:(?:the|an?|one|my|our|ein\w*|die|das|un|une|una|el|la|le|les)\s+)?(?:[\w'’-]+\s+){0,3}?"
    r"(?:summar(?:y|ies)|overview|analysis|recap|comparison|calculation|statistics|stats|figures|"
    r"estimate|draft|report|list|table|guide|breakdown|history|review|forecast|themes|trends|"
    r"section|plan|memo|introduction|chapter|page|note|document|checklist|faq|proposal|letter|"
    r"zusammenfassung|gegenüberstellung|auswertung|übersicht|berechnung|analyse|entwurf|"
    r"synthèse|calcul|résumé|aperçu|comparatif|análisis|resumen|borrador|cálculo|comparación)"
    r"\s+(?:of|on|for|per|by|from|over|der|des|von|aus|zu|de|du|d['’]|para|sobre|what|how|drawn|following|based)\b"
)
JUDGEABLE = re.compile(
    rf"{BEGIN}(?:{MESSAGE}|{OPERATION}|{_COMPUTING}|{_LOOKING}|{_PIECE_OF_WORK})", re.IGNORECASE
)
QUESTION = re.compile(
    rf"{BEGIN}(?:how|what|which|when|where|why|who|whose|is|are|does|do|wie|was|welche\w*|wann|"
    r"warum|wer|comment|quel\w*|pourquoi|qué|cómo|cuál\w*|peux-tu m)\b",
    re.IGNORECASE,
)

_COMMANDED = rf"(?:{BEGIN}|{_LINK})"
_MESSAGES = re.compile(
    rf"{_COMMANDED}{MESSAGE}|\b{_FOREIGN_MESSAGE}|{_PASSIVE}{_TOLD}\b", re.IGNORECASE
)
MESSAGE_BEGINS = re.compile(MESSAGE, re.IGNORECASE)
_BEGINS_TO_SAY = re.compile(rf"{BEGIN}{MESSAGE}", re.IGNORECASE)
_OPERATES = re.compile(
    rf"{_COMMANDED}{OPERATION}|\b{_FOREIGN_OPERATION}|{_PASSIVE}{_DONE}\b|"
    rf"\b{_SYSTEM}\b[^.;\n]{{0,60}}?\bbe {_CHANGED}\b|{_OUTSIDE}",
    re.IGNORECASE,
)
_WRITES = re.compile(
    r"\b(?:save|write|store|export)\b.{0,80}?(?:\bfile\b|\.\w{2,5}\b|\bdisk\b|\bworkspace\b)",
    re.IGNORECASE | re.DOTALL,
)
_COMPUTES = re.compile(rf"{BEGIN}{_COMPUTING}", re.IGNORECASE)
_NUMBERS = re.compile(
    r"\d\s*[-+*/^%×÷]\s*\d|\d\s*%|\d[^.;]{0,60}\b(?:days?|hours?|weeks?|percent\w*)\b|"
    r"\b(?:mean|median|average|sum|total|percent\w*|standard deviation|variance|power|how many|"
    r"how much|square root)\b[^.;]{0,200}\d|\b[\w-]+\.(?:csv|tsv|xlsx?|parquet)\b",
    re.IGNORECASE,
)


def own_words(text: str) -> str:
    """Return the words that say what is to be done: what is quoted is material.

    Of a long piece only the first `MOST_CHARACTERS` are read: what it asks for stands there.
    """
    return QUOTED.sub(" ", text[: 2 * MOST_CHARACTERS])[:MOST_CHARACTERS]


def _affirmed(text: str) -> str:
    """Return what is wanted, without what is expressly not."""
    return _NEGATED.sub(" ", text)


def is_question(work: str) -> bool:
    """Whether a piece of work asks to know something."""
    return QUESTION.match(work) is not None


def says_something(work: str) -> bool:
    """Whether a piece of work wants somebody told."""
    return not is_question(work) and _MESSAGES.search(_affirmed(work)) is not None


def begins_to_say(text: str) -> bool:
    """Whether a text begins with a message to somebody: what follows belongs to that."""
    return _BEGINS_TO_SAY.match(text) is not None


def operates(work: str) -> bool:
    """Whether a piece of work wants something outside changed, or fetched from there."""
    return not is_question(work) and _OPERATES.search(_affirmed(work)) is not None


def writes_a_file(work: str) -> bool:
    """Whether a piece of work wants a file in the workspace."""
    return not is_question(work) and _WRITES.search(_affirmed(work)) is not None


def computes(work: str) -> bool:
    """Whether a piece of work is about figures."""
    return _COMPUTES.match(work) is not None or _NUMBERS.search(work) is not None


def is_work(text: str) -> bool:
    """Whether a piece of text asks for something by itself, and is no mere context."""
    return (
        JUDGEABLE.match(text) is not None
        or is_question(text)
        or says_something(text)
        or operates(text)
    )


INDEPENDENT = re.compile(
    r"\b(?:separately|independent(?:ly)?(?! reviewer)|in parallel|side by side|at the same time|"
    r"at once|meanwhile|while (?:the|we|you|somebody|someone)|unrelated|self-contained|"
    r"someone else|somebody else|different (?:person|people)|neither (?:has|needs) to wait|"
    r"nothing to do with each other|"
    r"(?:not|n't) (?:depend on|wait for) each other|on top of that|"
    r"(?:two|three|four|five|six|several) (?:separate|different|independent|unrelated|things|"
    r"alternative)|one for\b.{1,60}\bone for|"
    r"(?:none|neither) of (?:these|those|them|the \w+) (?:depends?|needs?|waits?)|"
    r"on (?:its|their) own|one person\b.{1,200}\banother|each has its own|einerseits|"
    r"different (?:teams?|sources?|handbooks?|files?|causes?|topics?)|"
    r"(?:page|sentences?|paragraphs?|sections?) each|each in|"
    r"unabhängig\w*|gleichzeitig|parallel|en paralelo|"
    r"en même temps|d['’]un côté|indépendant\w*|no dependen|independientes|distintos)\b",
    re.IGNORECASE | re.DOTALL,
)
"""The text says itself that its parts need not wait for each other."""

SEPARATES = re.compile(
    r"\s*(?:;|,)\s*(?:and\s+|und\s+|et\s+|y\s+)?(?:(?:separately|unrelated|in parallel|"
    r"at the same time|independent(?:ly)? of (?:it|that)|independently|meanwhile|someone else|"
    r"somebody else|a (?:second|third)|de l['’]autre)\b,?\s*)?|"
    r"\s+(?:as well as|plus|\+)\s+|\.\s+(?:also,? unrelated,?|also,?|on top of that,?(?: i want)?|"
    r"in addition,?|separately,?)\s+|"
    r"\s+(?:and|und|et|y)\s+(?:(?:separately|in parallel|at the same time|"
    r"independently of that|independently)\s+)?",
    re.IGNORECASE,
)
"""Where a text that says so falls into parts."""

OPENS = re.compile(
    rf"{BEGIN}(?:take|load|read|open|get|fetch|grab|look through|go through|pull up|"
    r"figure out)\b",
    re.IGNORECASE,
)
"""Work whose outcome the rest of its sentence is about, unless that says otherwise."""

ANSWERS = re.compile(
    r"^\W*(?:and\s+)?(?:(?:tell|give|show) me|(?:show|list|report|name|say) (?:what|which|how|the)|"
    r"(?:finish|end|conclude) with)\b",
    re.IGNORECASE,
)
"""How what came before is to be told."""

APART = re.compile(
    r"^\W*(?:and\s+)?(?:meanwhile|in parallel|separately|independently|unrelated|on top of that)\b",
    re.IGNORECASE,
)
"""Work that says it waits for nothing."""

ORDERS = re.compile(
    r"^\W*(?:and\s+)?(?:then|afterwards|after (?:that|this|which)|next|finally|lastly|once|if|"
    r"unless|in case|when|whenever|as soon as|otherwise|should it|with (?:that|those|this|these|"
    r"it|them))\b",
    re.IGNORECASE,
)
REFERS = re.compile(
    r"\b(?:the (?:result|answer|finding|summary|outcome|output|product|quotient|difference)s?"
    r"(?! of\b)|based on|just those|(?:from|using|with|by|to|of|about|multiply|save|send|double|"
    r"halve|divide|store|translate|it names|compare|check|summari[sz]e|review|put|if) "
    r"(?:it|that|this)\b|\bit\b|tell \w+ (?:the|what))\b",
    re.IGNORECASE,
)
JOINS = re.compile(
    r"\b(?:both(?!\s+(?:of\s+)?(?:the\s+)?(?!(?:into|to|in|as|on|for|results|findings|answers|are)\b)\w)|"
    r"all (?:of )?(?:them|these|this|three|four|results|findings)|them|everything|it all|"
    r"one (?:document|story|table|report|page|note|briefing|summary|paper)|synthesis|consolidated|"
    r"(?:the|these|those|all) (?:results|answers|findings|summaries|pieces|numbers|outputs))\b",
    re.IGNORECASE,
)
MODIFIES = re.compile(
    r"^\W*(?:use|ignore|skip|only|just|include|exclude|keep|focus|limit|mention|stick|max|assume|"
    r"make it|note)\b",
    re.IGNORECASE,
)
"""A sentence about how the work before it is to be done."""

TRANSFORMS = re.compile(
    rf"{BEGIN}(?:turn|rewrite|rephrase|translate|summari[sz]e|proofread|shorten|edit|clean up|"
    r"format|classify|sort)\b[^.;\n]{0,60}\b(?:below|following|my notes|these notes|this (?:text|"
    r"paragraph|list|table|mail))\b",
    re.IGNORECASE,
)
"""What follows is material, not work."""

_SUBJECT = re.compile(
    r"\b(?:the|that|those|this|these|its|their)\s+(?:(?!(?:to|of|for|in|on|and|or)\b)\w+\s+)?(\w{4,})",
    re.IGNORECASE,
)
_NOUNS = re.compile(r"\b\w{4,}\b")
_COMMON = frozenset({"same", "following", "table", "time", "moment", "docs", "documents", "folder"})


def speaks_of(work: str, earlier: str) -> bool:
    """Whether a piece of work speaks of `the …` that an earlier one brought up without `the`."""
    brought = {word.lower().rstrip("s") for word in _NOUNS.findall(_SUBJECT.sub(" ", earlier))}
    named = {word.lower().rstrip("s") for word in _SUBJECT.findall(work)}
    return bool((named & brought) - _COMMON)
