"""The words that every filing needs around its own labels, in the languages of the forms."""

from __future__ import annotations

from dataclasses import dataclass

from reporting.filing import Filing


@dataclass(frozen=True, slots=True)
class Words:
    simulated: str
    statement: str
    fields: str
    section: str
    key: str
    label: str
    value: str
    unit: str
    unknown: str
    form: str
    status: str
    statuses: dict[str, str]
    findings: str
    level: str
    levels: dict[str, str]
    code: str
    text: str
    where: str
    rules: str
    rule: str
    start: str
    until: str
    published: str
    last_checked: str
    reference: str
    evidence: str
    agent: str
    first_seq: str
    last_seq: str
    last_hash: str
    org: str
    taken: str
    facts_hash: str
    content_hash: str
    software: str
    tzdata: str


_RU = Words(
    simulated="SIMULATED: данные имитатора. НЕ ПОДАВАТЬ",
    statement="Примечание",
    fields="Сведения",
    section="Раздел",
    key="Ключ",
    label="Показатель",
    value="Значение",
    unit="Единица",
    unknown="не указано",
    form="Форма",
    status="Состояние",
    statuses={"draft": "черновик", "ready": "готово к утверждению"},
    findings="Замечания",
    level="Уровень",
    levels={"error": "ошибка", "warning": "предупреждение", "open_question": "открытый вопрос"},
    code="Код",
    text="Текст",
    where="Место",
    rules="Правила",
    rule="Правило",
    start="Действует с",
    until="Действует до (не включая)",
    published="Опубликовано",
    last_checked="Проверено",
    reference="Источник",
    evidence="Доказательства",
    agent="Агент",
    first_seq="Первый пакет",
    last_seq="Последний пакет",
    last_hash="Хеш последнего пакета",
    org="Организация",
    taken="Данные получены",
    facts_hash="Хеш данных (SHA-256)",
    content_hash="Хеш содержания (SHA-256)",
    software="Программа",
    tzdata="Версия tzdata",
)

_FA = Words(
    simulated="SIMULATED: داده‌های شبیه‌ساز است. ارسال نشود",
    statement="توضیح",
    fields="اطلاعات",
    section="بخش",
    key="کلید",
    label="عنوان",
    value="مقدار",
    unit="واحد",
    unknown="اعلام نشده",
    form="فرم",
    status="وضعیت",
    statuses={"draft": "پیش‌نویس", "ready": "آماده تأیید"},
    findings="یافته‌ها",
    level="سطح",
    levels={"error": "خطا", "warning": "هشدار", "open_question": "پرسش باز"},
    code="کد",
    text="متن",
    where="محل",
    rules="قواعد",
    rule="قاعده",
    start="معتبر از",
    until="معتبر تا پیش از",
    published="انتشار",
    last_checked="آخرین بررسی",
    reference="منبع",
    evidence="شواهد",
    agent="عامل",
    first_seq="نخستین بسته",
    last_seq="آخرین بسته",
    last_hash="درهم‌ساز آخرین بسته",
    org="سازمان",
    taken="زمان برداشت داده‌ها",
    facts_hash="درهم‌ساز داده‌ها (SHA-256)",
    content_hash="درهم‌ساز محتوا (SHA-256)",
    software="نرم‌افزار",
    tzdata="نسخه tzdata",
)

_BY_LANGUAGE = {"ru": _RU, "fa": _FA}


def words_of(filing: Filing) -> Words:
    """The words in the language of the filing."""
    return _BY_LANGUAGE[filing.language]
