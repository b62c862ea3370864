"""report.html in a real browser, opened from disk: Debian's chromium, headless, driven by its chromium-driver."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from .conftest import HOSTILE, SHAPE, Reading, entry, segmentation_page, volumes, write_case

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
LONGEST = 60  # seconds, for what takes a fraction of one
COLOURS = {0: [0, 0, 0], 1: [31, 119, 180], 4: [214, 39, 40]}  # of label values, matplotlib's tab10
PLANES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}  # axes across, down and through

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs chromium and chromedriver (apt install chromium-driver)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = BROWSER or ""
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def shown(browser: Chrome, name: str | None = None) -> None:
    """Waits until the viewer shows the case of this name, or any."""
    script = "const [name] = arguments, shown = document.getElementById('viewer').dataset.shown;"
    script += "return shown !== undefined && (name === null || shown === name)"
    WebDriverWait(browser, LONGEST, poll_frequency=0.05).until(lambda driver: driver.execute_script(script, name))


def visit(browser: Chrome, page: Path) -> None:
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    shown(browser)


@pytest.fixture
def opened(browser: Chrome, hostile_page: Path) -> Chrome:
    visit(browser, hostile_page)
    return browser


def texts(elements: list[WebElement]) -> list[str]:
    return [element.get_attribute("textContent") or "" for element in elements]


def plane(browser: Chrome, name: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, f"canvas[data-plane={name}]")


def position(browser: Chrome) -> list[int]:
    """(R, A, S), from the sliders of the planes."""
    names = sorted(PLANES, key=lambda name: PLANES[name][2])
    return [
        int(str(browser.find_element(By.CSS_SELECTOR, f"input[aria-label='{name} slice']").get_property("value")))
        for name in names
    ]


def put(browser: Chrome, element: WebElement, value: object) -> None:
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    browser.execute_script(script, element, value)


def show_only(browser: Chrome, layer: str) -> None:
    for box in browser.find_elements(By.CSS_SELECTOR, "#viewer-layers input"):
        if box.is_selected() != (box.get_attribute("name") == layer):
            browser.execute_script("arguments[0].click()", box)


def pixels(browser: Chrome, name: str) -> np.ndarray:
    """Red, green and blue in the middle of every voxel of a plane, (rows, columns, 3)."""
    across, down, _ = PLANES[name]
    script = """
        const [canvas, width, height] = arguments, context = canvas.getContext("2d"), found = [];
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
            const at = [(x + 0.5) / width * canvas.width, (y + 0.5) / height * canvas.height];
            found.push(...context.getImageData(Math.floor(at[0]), Math.floor(at[1]), 1, 1).data.slice(0, 3));
        }
        return found"""
    found = browser.execute_script(script, plane(browser, name), SHAPE[across], SHAPE[down])
    return np.array(found).reshape(SHAPE[down], SHAPE[across], 3)


def test_it_opens_from_disk_without_an_error_and_without_a_request(opened: Chrome, hostile_page: Path) -> None:
    assert opened.get_log("browser") == []
    messages = [json.loads(line["message"])["message"] for line in opened.get_log("performance")]
    asked = [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    assert hostile_page.as_uri() in asked
    assert [url for url in asked if url != hostile_page.as_uri() and not url.startswith("data:")] == []


def test_no_name_of_a_case_runs_and_all_are_read_as_they_are(opened: Chrome) -> None:
    assert opened.execute_script("return window.pwned") is None
    names = texts(opened.find_elements(By.CSS_SELECTOR, "#cases > .scroll tbody th"))
    assert {*HOSTILE} <= set(names)
    assert opened.find_elements(By.CSS_SELECTOR, "img[src=x], [onerror], [onmouseover]") == []
    assert {*HOSTILE} <= set(texts(opened.find_elements(By.CSS_SELECTOR, "svg a title")))


def test_a_table_is_sorted_by_a_click_and_by_another_the_other_way_round(opened: Chrome) -> None:
    table = opened.find_element(By.CSS_SELECTOR, "#cases > .scroll table")

    def column(number: int) -> list[Any]:
        script = "return [...arguments[0].tBodies[0].rows].map((row) => row.cells[arguments[1]].dataset.value)"
        return [float(value) if value else None for value in opened.execute_script(script, table, number)]

    buttons = table.find_elements(By.CSS_SELECTOR, "thead button")
    before = column(1)
    buttons[1].click()
    assert column(1) == sorted(before) != before
    buttons[1].click()
    assert column(1) == sorted(before, reverse=True)
    opened.execute_script("arguments[0].tBodies[0].rows[0].cells[2].dataset.value = ''", table)
    for _ in range(2):
        buttons[2].send_keys(Keys.ENTER)
        assert column(2)[-1] is None
    assert [heading.get_attribute("aria-sort") for heading in table.find_elements(By.CSS_SELECTOR, "thead th")][1:3] == [
        None,
        "descending",
    ]
    buttons[0].click()
    names = texts(table.find_elements(By.CSS_SELECTOR, "tbody th"))
    assert [name for name in names if name.startswith("more")] == [f"more{number}" for number in range(32)]


def test_the_viewer_shows_the_label_of_every_voxel_where_radiologists_look_for_it(opened: Chrome) -> None:
    Select(opened.find_element(By.ID, "viewer-case")).select_by_visible_text("case_0 (best)")
    shown(opened, "case_0")
    put(opened, opened.find_element(By.ID, "viewer-opacity"), 1)
    show_only(opened, "mask")
    mask = volumes(0)["mask"]
    for name, (across, down, through) in PLANES.items():
        for number in (2, 4, 7):
            put(opened, opened.find_element(By.CSS_SELECTOR, f"input[aria-label='{name} slice']"), number)
            labels = mask.take(number, through)
            labels = labels if across < down else labels.T
            due = np.array([[COLOURS[label] for label in row] for row in labels.T[::-1, ::-1]])  # right, front and head first
            letters = np.zeros(due.shape[:2], bool)  # R, L, A, P, S, I lie over the voxels at the middle of each side
            letters[:, :2] = letters[:, -2:] = letters[:2] = letters[-2:] = True
            np.testing.assert_array_equal(pixels(opened, name)[~letters], due[~letters])


def test_the_reference_is_a_line_and_the_image_can_be_hidden(opened: Chrome) -> None:
    show_only(opened, "reference")
    reference = pixels(opened, "axial")[2:-2, 2:-2]
    assert (reference == 0).mean() > 0.5  # inside and outside are black
    show_only(opened, "image")
    image = pixels(opened, "axial")[2:-2, 2:-2]
    assert (image[..., 0] == image[..., 1]).all()
    assert (image > 20).mean() > 0.5
    put(opened, opened.find_element(By.ID, "viewer-brightness"), -100)
    assert pixels(opened, "axial")[2:-2, 2:-2].mean() < image.mean() - 30


def test_keys_move_within_a_plane_and_through_it(opened: Chrome) -> None:
    canvas = plane(opened, "axial")
    opened.execute_script("arguments[0].focus()", canvas)
    right, front, up = position(opened)
    canvas.send_keys(Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.PAGE_UP)
    assert position(opened) == [right + 1, front + 1, up + 1]
    canvas.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, *[Keys.PAGE_DOWN] * (SHAPE[2] + 3))
    assert position(opened) == [right - 1, front, 0]  # it stops at the feet
    assert (
        f"voxel ({right - 1}, {front}, 0) of 24 \N{MULTIPLICATION SIGN} 20"
        in texts([opened.find_element(By.ID, "viewer-readout")])[0]
    )


def test_a_click_moves_there_and_then_the_wheel_changes_the_slice(opened: Chrome) -> None:
    canvas = plane(opened, "coronal")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", canvas)
    wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: arguments[1], cancelable: true}))"
    before = position(opened)
    opened.execute_script(wheel, canvas, 100)
    assert position(opened) == before  # a page that is scrolled past stays as it is
    size = canvas.size
    across, down = size["width"] / SHAPE[0], size["height"] / SHAPE[2]
    ActionChains(opened).move_to_element_with_offset(
        canvas, round(2.5 * across - size["width"] / 2), round(1.5 * down - size["height"] / 2)
    ).click().perform()
    assert position(opened) == [SHAPE[0] - 3, before[1], SHAPE[2] - 2]
    opened.execute_script(wheel, canvas, 100)
    assert position(opened)[1] == before[1] - 1


def test_keys_and_buttons_zoom_about_the_crosshair_and_a_drag_pans(opened: Chrome) -> None:
    Select(opened.find_element(By.ID, "viewer-case")).select_by_visible_text("case_0 (best)")
    shown(opened, "case_0")
    put(opened, opened.find_element(By.ID, "viewer-opacity"), 1)
    put(opened, opened.find_element(By.CSS_SELECTOR, "input[aria-label='axial slice']"), 4)
    canvas = plane(opened, "axial")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", canvas)
    width, height = canvas.size["width"], canvas.size["height"]

    def click(x: float, y: float) -> None:
        place = round((x - 0.5) * width), round((y - 0.5) * height)
        ActionChains(opened).move_to_element_with_offset(canvas, *place).click().perform()

    def drag(x: float, y: float) -> None:
        offset = round(x * width), round(y * height)
        ActionChains(opened).move_to_element(canvas).click_and_hold().move_by_offset(*offset).release().perform()

    def assert_begins(across: float, down: float) -> None:
        """At this column and row of the whole plane, twice as large; where a sample lies between two voxels nobody can tell."""
        begins = (down, SHAPE[1]), (across, SHAPE[0])
        rows, columns = (start + (np.arange(3, size - 3) + 0.5) / 2 for start, size in begins)  # letters are at the sides
        due = whole[np.ix_(rows.astype(int), columns.astype(int))]
        clear = np.ix_(abs(rows - rows.round()) > 0.1, abs(columns - columns.round()) > 0.1)
        np.testing.assert_array_equal(pixels(opened, "axial")[3:-3, 3:-3][clear], due[clear])

    show_only(opened, "mask")
    whole = pixels(opened, "axial")
    click(12.5 / SHAPE[0], 10.5 / SHAPE[1])
    assert position(opened)[:2] == [11, 9]  # column 12, row 10
    canvas.send_keys("+", "+", "-", "+")
    assert texts(opened.find_elements(By.ID, "viewer-zoom")) == ["2 \N{MULTIPLICATION SIGN}"]
    assert_begins(6.25, 5.25)  # the middle of that voxel stays where it was
    click(0.75, 0.25)
    assert position(opened)[:2] == [8, 12]  # columns 6.25 + 0.75 * 12, rows 5.25 + 0.25 * 10
    drag(0.25, -0.1)
    assert_begins(3.25, 6.25)
    drag(0.4, 0.0), drag(0.4, 0.0)
    assert_begins(0, 6.25)  # no further than the edge
    assert position(opened)[:2] == [8, 12]
    zoom_in, zoom_out = opened.find_element(By.ID, "viewer-in"), opened.find_element(By.ID, "viewer-out")
    while zoom_in.is_enabled():
        opened.execute_script("arguments[0].click()", zoom_in)
    assert texts(opened.find_elements(By.ID, "viewer-zoom")) == ["8 \N{MULTIPLICATION SIGN}"]
    canvas.send_keys("0")
    assert not zoom_out.is_enabled()
    np.testing.assert_array_equal(pixels(opened, "axial"), whole)


def test_a_case_of_the_table_opens_in_the_viewer(opened: Chrome) -> None:
    buttons = opened.find_elements(By.CSS_SELECTOR, "#cases button.link")
    name = next(name for name in reversed(texts(buttons)) if name in HOSTILE)
    buttons[texts(buttons).index(name)].click()
    shown(opened, name)
    assert Select(opened.find_element(By.ID, "viewer-case")).first_selected_option.text.startswith(name)


def test_it_has_a_light_a_dark_and_a_printed_form(opened: Chrome) -> None:
    def seen(script: str, media: str = "screen", scheme: str = "light") -> Any:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        return opened.execute_script(f"return {script}")

    ground, ink = (
        "getComputedStyle(document.body).backgroundColor",
        "getComputedStyle(document.querySelector('svg text')).fill",
    )
    for script in (ground, ink):  # the plots too
        assert seen(script) != seen(script, scheme="dark")
    viewer = "getComputedStyle(document.getElementById('viewer')).display"
    assert (seen(viewer), seen(viewer, media="print")) == ("block", "none")
    assert seen("document.querySelector('.card img').getBoundingClientRect().width > 100", media="print")
    assert seen(ground, media="print", scheme="dark") != seen(ground, scheme="dark")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_maps_beside_masks_are_layers_and_a_volume_without_an_image_is_shown(browser: Chrome, tmp_path: Path) -> None:
    files = write_case(tmp_path, "a")
    uncertain = np.zeros(SHAPE, np.float32)
    uncertain[10:14] = 0.5
    nib.save(nib.Nifti1Image(uncertain, np.eye(4)), files["mask"].replace("_seg", "_entropy"))
    page = segmentation_page(tmp_path, [entry(files)])
    visit(browser, page)
    put(browser, browser.find_element(By.ID, "viewer-opacity"), 1)
    assert not browser.find_element(By.NAME, "entropy").is_selected()
    show_only(browser, "entropy")
    red = pixels(browser, "axial")[2:-2, :, 0]
    assert (red[:, SHAPE[0] - 13 : SHAPE[0] - 11] > 200).all()
    assert (red[:, 3:8] < 30).all()
    put(browser, browser.find_element(By.CSS_SELECTOR, "input[aria-label='sagittal slice']"), 12)
    assert "entropy 0.50" in texts([browser.find_element(By.ID, "viewer-readout")])[0]
    assert Reading(page).ids().count("viewer") == 1
