"""answers.py: every row of METHOD.md's list is right, each near miss wrong, and nothing evil stalls a run."""

import os
import signal
import threading

import pytest

from pipelines.answers import Answer, expressions, extract, verify


@pytest.mark.parametrize(
    ("gold", "right", "wrong", "language"),
    [
        ("3.5", "3,5", "3,6", "ru"),
        ("7/2", "3{,}5", "3{,}05", "ru"),
        ("1/2", "0,5", "0,55", "ru"),
        ("1234", "1 234", "1 243", "ru"),
        ("1234", "1\u00a0234", "1\u00a02340", "ru"),
        ("1234", r"1\,234", r"1\,235", "ru"),
        ("1234.5", "1.234,5", "1.234,6", "de"),
        (r"\tan x", r"\tg x", r"\ctg x", "ru"),
        ("17", "١٧", "١٨", "ar"),
        ("17", "१७", "७१", "hi"),
        ("17", "１７", "１７０", "ja"),
        ("320", "三百二十", "三百零二", "zh"),
        ("35000", "3万5千円", "3万5百円", "ja"),
        ("17", r"\text{17 человек}", r"\text{18 человек}", "ru"),
        ("17", r"17 \text{ мальчиков}", r"71 \text{ мальчиков}", "ru"),
        ("3000000", r"3\ млн", r"3\ млрд", "ru"),
        ("150000", "1.5 लाख", "1.5 करोड़", "hi"),
        ("10", r"10\,км/ч", r"10{,}1\,км/ч", "ru"),
        ("10", "10 м²", "10²", "ru"),
        ("5/2", "2 1/2", "21/2", "en"),
        ("2.5", "2½", "21/2", "ru"),
        ("25", "25 %", "0.25", "ru"),
        ("25%", "0,25", "2,5%", "ru"),
        ("-5", "−5", "5", "ru"),
        ("18", "$18$", "$81$", "ru"),
        ("70000", "70 000 $", "7 000 $", "ru"),
        ("9", "16 - 7 = 9", "16 - 7 = 8", "ru"),
        ("(2,5)", "(2;5)", "(5;2)", "ru"),
        ("(2,5)", "2,5", "2.5", "ru"),
        ("1, 2", "1; 2", "1", "ru"),
        ("2;3", "3; 2", "2", "ru"),
        ("2", "2 шт.", "2;3", "ru"),
        ("2.5", "2,5", "(2;5)", "ru"),
        ("(2;3)", "(2;3)", "[2;3]", "ru"),
        (r"2\sqrt{3}", r"\sqrt{12}", r"\sqrt{6}", "ru"),
        ("3", "3", "3x", "en"),
        ("yes", "Yes", "No", "en"),
        ("yes", "Да", "Нет", "ru"),
        ("Monday", "monday.", "Tuesday", "en"),
        ("B", "Б) 12", "Г", "ru"),
        ("C", "ج", "ب", "ar"),
        ("C", "ウ", "イ", "ja"),
        ("D", "라", "다", "ko"),
        ("B", "Вариант Б", "Вариант Г", "ru"),
        ("A, C", "А, С", "А, Б", "ru"),
        ("30", "сдача — 30 рублей", "сдача −30 рублей", "ru"),
        ("18", "一共18个", "一共81个", "zh"),
        ("25", "百分之二十五", "百分之三十五", "zh"),
        ("1/3", "三分之一", "三分之二", "zh"),
        ("1234567", "12,34,567", "12,34,576", "hi"),
        ("1/3", "0,(3)", "0,(4)", "ru"),
        ("1/6", r"0.1\overline{6}", r"0.1\overline{7}", "en"),
        ("5000", "5·10³", "5·10²", "ru"),
        ("100000", "10⁵", "10⁴", "ru"),
        ("100000", "5e3 * 20", "5e3 * 2", "en"),
        ("70000", "$70k", "$7k", "en"),
        ("120", "5!", "4!", "en"),
        ("8", "2^3", "2^2", "en"),
        ("5", r"\sqrt{25}", r"\sqrt{24}", "en"),
        ("18", "18, потому что 16 - 3 + 5 = 18", "17, потому что 16 - 3 + 5 = 18", "ru"),
        ("18", "18 долларов (16 + 2)", "16 долларов (18 - 2)", "ru"),
        ("18", "18", "Нельзя решить эту задачу", "ru"),
        ("18", "18", "I don't know", "en"),
        ("18", "18 яблок", "3 яблока и 15 груш", "ru"),
        ("5", "≈ 5", "x > 5", "en"),
        ("5", "x = 5", "x ≠ 5", "en"),
        ("160", "2 часа 40 минут", "2 часа 4 минуты", "ru"),
        ("160", "2 hours and 40 minutes", "2 hours and 20 minutes", "en"),
        ("160", "2小时40分钟", "2小时4分钟", "zh"),
        ("160", "2 Stunden und 40 Minuten", "3 Stunden und 40 Minuten", "de"),
        ("160", "2 घंटे 40 मिनट", "2 घंटे 20 मिनट", "hi"),
        ("160", "2h40", "2h04", "fr"),
        ("160", "2:40", "2:04", "ru"),
        ("2.5", "2 часа 30 минут", "2 часа 50 минут", "ru"),
        ("2:40", "2 часа 40 минут", "2 часа 4 минуты", "ru"),
        ("2:40", "160 минут", "160 часов", "ru"),
        ("2:40", "02:40", "2:04", "ru"),
        ("2 hours 40 minutes", "160", "180", "en"),
        ("160 minutes", "160 минут", "160 часов", "ru"),
        ("2:30 PM", "14:30", "2:30 am", "en"),
        ("100", "час 40 минут", "час 50 минут", "ru"),
        ("17.5", "17 рублей 50 копеек", "17 рублей 5 копеек", "ru"),
        ("520", "5 м 20 см", "5 м 2 см", "ru"),
        ("2500000", "2 млн 500 тыс.", "2 млн 500", "ru"),
        ("x=2, y=3", "y = 3; x = 2", "x = 3; y = 2", "ru"),
        ("2, 3", "x_1 = 3; x_2 = 2", "x_1 = 3; x_2 = 3", "ru"),
        ("±3", "3; -3", "3; 3", "ru"),
        ("(2,5)", "]2;5[", "[2;5]", "fr"),
        ("(2,5)", r"x \in (2; 5)", r"x \in [2; 5)", "ru"),
        ("(2.5,3)", "(2,5; 3)", "(2,5; 3,5)", "ru"),
        (r"(-\infty,2]", "(−∞; 2]", "(−∞; 2)", "ru"),
        (r"(-\infty,2]", r"x \le 2", "x < 2", "ru"),
        ("x>5", r"(5; +\infty)", r"[5; +\infty)", "ru"),
        (r"\{2,3\}", r"x \in \{3; 2\}", r"x \in \{3; 4\}", "ru"),
        (r"(-\infty,2)\cup(5,\infty)", "(−∞; 2)∪(5; +∞)", "(−∞; 2]∪(5; +∞)", "ru"),
        (r"\arctan x", r"\arctg x", r"\arcctg x", "ru"),
        (r"\cot x", "ctg x", "tg x", "ru"),
        (r"\frac{\pi}{2}", "π/2", "π/3", "ru"),
        (r"\frac{1}{2}x", "0,5x", "0,05x", "ru"),
        ("x^2+1", "x² + 1", "x³ + 1", "en"),
    ],
)
def test_a_localized_answer_is_right_and_its_near_miss_wrong(gold: str, right: str, wrong: str, language: str) -> None:
    assert verify(gold, right, language).kind == "right"
    assert verify(gold, wrong, language).kind == "wrong"


@pytest.mark.parametrize(
    ("gold", "answer", "language"),
    [
        ("1234", "1,234", "ru"),  # 1.234 or one thousand
        ("18", "18 долларов за 3 дня", "ru"),
        ("Monday", "понедельник", "ru"),
        ("B", "В", "ru"),  # the third letter, or Latin B
        ("1/3", "0.33", "en"),
        (r"\sqrt{2}", "1.414214", "en"),
        ("17", "семнадцать", "ru"),
        ("17", "ఇరవై", "te"),
        ("2,5", "2; 5", "ru"),
        ("0.25", "0.25 %", "en"),
        ("5", "5!", "en"),
        ("40", "час 40 минут", "ru"),
        ("B", "12 рублей", "ru"),
        ("18", "18 (16 + 2)", "en"),
        ("1" * 3000, "1", "en"),
        ("", "5", "ru"),
    ],
)
def test_what_the_text_does_not_say_is_undecidable(gold: str, answer: str, language: str) -> None:
    assert verify(gold, answer, language).kind == "undecidable"


@pytest.mark.parametrize(
    ("text", "answer", "where"),
    [
        (r"Итак, \boxed{3} и \boxed{\frac{1}{2}}.", r"\frac{1}{2}", "boxed"),
        (r"\boxed{4} \boxed{5", "4", "boxed"),
        ("Ответ: 17 мальчиков. Проверка: да.", "17 мальчиков", "marker"),
        ("**Ответ:** 17", "17", "marker"),
        ("Ответ:\n\n3,5", "3,5", "marker"),
        ("The answer is 42.", "42", "marker"),
        ("Ответ: Б) 12", "Б) 12", "marker"),
        ("答え：１７", "１７", "marker"),
        ("答案是17。", "17", "marker"),
        ("الإجابة: ١٧", "١٧", "marker"),
        ("16 - 7 = 9\n#### 9", "9", "marker"),
        ("Решение.\nТаким образом, **18 долларов**.", "18 долларов", "bold"),
        ("Всего 7, то есть 1 234,5 рублей", "1 234,5", "last-number"),
        ("Пройдено 3/4 пути", "3/4", "last-number"),
        (r"Вероятность равна $\frac{3}{4}$.", r"\frac{3}{4}", "formula"),
        ("She sold 3 of them for $18", "18", "last-number"),
        ("Рассмотрим варианты.\nБ)", "Б)", "option"),
        ("Правильный вариант — Б.", "Б", "option"),
        ("So option (C) is correct.", "C", "option"),
        ("正确选项是C。", "C", "option"),
        ("الخيار ج", "ج", "option"),
        ("5 + 12\n<answer> 17 </answer>", "17", "tag"),
        ("### Ответ\n17", "17", "marker"),
        ("Ответ на вопрос задачи: 17", "17", "marker"),
        ("Ответ: 17.\n\nПроверим ответ: 5 + 12 = 17, верно.", "17", "marker"),
        ("The answer to question 2 is 42.", "42", "marker"),
        ("She answered 25 of them, and was able to answer 20 - 11 = 9 at once.", "9", "last-number"),
        ("Ответ: г. Москва.", "г. Москва", "marker"),
        ("Понедельник.", "Понедельник", "last-line"),
    ],
)
def test_the_answer_is_found_where_it_stands(text: str, answer: str, where: str) -> None:
    assert extract(text, "ru") == Answer(answer, where)


@pytest.mark.parametrize("text", ["", " \n", "...", "Ответ:", "Решение. " * 40])
def test_a_text_without_an_answer_has_none(text: str) -> None:
    assert extract(text, "ru") is None


# --- what compares expressions


def test_an_evil_expression_is_undecidable_and_the_next_one_is_not() -> None:
    assert verify("5", "9^{9^{9^{9}}}+x", "en").reason == f"not compared within {expressions.LIMIT_S:g} s"
    assert verify("x+1", "1+x", "en").kind == "right"


def test_a_killed_worker_costs_one_verdict() -> None:
    worker = expressions._Worker()
    assert worker.compare("x+1", "1+x")[0] == "right"
    assert worker._process
    os.kill(worker._process.pid, signal.SIGKILL)  # its child lives on until it runs out of time
    assert worker.compare("5", "9^{9^{9^{9}}}+x") == ("undecidable", "the process that compares expressions was killed")
    assert worker.compare("x+1", "1+x")[0] == "right"
    worker.close()


def test_threads_share_the_workers() -> None:
    kinds: list[str] = []
    threads = [
        threading.Thread(target=lambda i=i: kinds.append(verify(f"x+{i}", f"{i}+x", "en").kind)) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds == ["right"] * 8


@pytest.mark.parametrize("text", ["(" * 100_000, "1 " * 50_000, r"\boxed{" * 20_000, "Ответ: " * 20_000, "$" * 100_000])
def test_a_huge_answer_is_wrong(text: str) -> None:
    extract(text, "ru")
    assert verify("17", text, "ru").kind == "wrong"
