"""contamination.py: copies of a benchmark item are found in any dress, its kin with other numbers are not."""

from itertools import islice

import pytest

from pipelines import problems
from pipelines.contamination import Index

ENGLISH = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends "
    "every day with four. She sells the remainder at the market for $2 per egg. How much does she make every day?"
)
CHINESE = "珍妮特的鸭子每天下16颗蛋。她每天早上早餐时吃3颗，用4颗为朋友烤松饼，其余的在市场上以每颗2美元的价格出售。"
THAI = "เป็ดของเจเน็ตวางไข่ 16 ฟองต่อวัน เธอกินสามฟองเป็นอาหารเช้าทุกเช้า และขายส่วนที่เหลือ"
HINDI = "जेनेट की बत्तखें प्रतिदिन १६ अंडे देती हैं और वह हर सुबह नाश्ते में तीन अंडे खाती है तो कितने बचे"
RUSSIAN = (
    "Утки Джанет несут 16 яиц в день. Каждое утро она съедает три яйца и печёт кексы из четырёх. Сколько остаётся?"
)
TEXTS = (ENGLISH, CHINESE, THAI, HINDI, RUSSIAN)
INDEX = Index((str(place), text) for place, text in enumerate(TEXTS))


@pytest.mark.parametrize("place", range(len(TEXTS)))
def test_the_same_text_is_found_whatever_its_letters_marks_and_digits(place: int) -> None:
    text = TEXTS[place]
    dressed = f"  **{text.upper()}** ".replace(".", " !").replace("16", "１６").replace("१६", "16")
    found = INDEX.find(dressed)
    assert found
    assert (found.name, found.share) == (str(place), 1.0)


@pytest.mark.parametrize("place", range(len(TEXTS)))
def test_an_item_inside_a_longer_prompt_is_found(place: int) -> None:
    found = INDEX.find(f"Solve this task step by step, please: {TEXTS[place]} Thank you! Put it into a box.")
    assert found
    assert found.name == str(place)


def test_most_of_an_item_with_another_end_is_found_with_its_share() -> None:
    found = INDEX.find(ENGLISH.replace("How much does she make every day?", "What does she earn in total each week?"))
    assert found
    assert 0.5 <= found.share < 1


def test_the_same_words_with_other_numbers_are_another_problem() -> None:
    assert INDEX.find(ENGLISH.replace("16", "19").replace("$2", "$5")) is None


def test_numbers_are_the_same_in_any_notation() -> None:
    index = Index([("x", "The big old town by the sea has 12,500 people and each of them pays 3.5 coins a year")])
    assert index.find("In short: the big old town by the sea has 12 500 people and each of them pays 3,5 coins a year")


def test_a_few_words_in_common_are_no_hit() -> None:
    assert INDEX.find("How much does she make every day? She sells 16 eggs at the market.") is None


def test_any_of_a_prompts_texts_is_enough() -> None:
    found = INDEX.find("Перевод, которого никто не знает, с 16 яйцами", ENGLISH)
    assert found
    assert found.name == "0"


@pytest.mark.parametrize("text", ["", "   ", "?!", "12"])
def test_what_is_hardly_a_text_is_no_hit_and_no_error(text: str) -> None:
    assert INDEX.find(text) is None
    assert Index([("x", text)]).find(ENGLISH) is None


def test_problems_of_one_kind_made_from_two_seeds_are_told_apart() -> None:
    made = list(islice(problems.problems(problems.FAMILIES, 1), 200))
    others = list(islice(problems.problems(problems.FAMILIES, 2), 400))
    index = Index((str(number), problem.texts["ru"]) for number, problem in enumerate(made))
    texts = {problem.texts["ru"] for problem in made}
    hits = [problem for problem in others if index.find(problem.texts["ru"])]
    assert len([problem for problem in hits if problem.texts["ru"] not in texts]) <= len(others) // 50
    assert all(index.find(problem.texts["ru"]) for problem in made)
