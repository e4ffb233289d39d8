"""Settings of Sphinx for the course's site; `make site` builds it, see `course/site/build.py`."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COURSE = PROJECT["tool"]["course"]

project = "Transfer learning and fine-tuning with Keras\N{NO-BREAK SPACE}3"
release = PROJECT["project"]["version"]
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "course.site.extension"]
nitpick_ignore_regex = [("py:.*", r"(?!helpers\.).*")]  # the pages of other libraries are on other hosts

nb_execution_mode = "off"  # the notebooks come executed
nb_merge_streams = True
nb_code_prompt_show = "Show the set-up cell"
nb_code_prompt_hide = "Hide the set-up cell"
nb_ipywidgets_js = {}  # these scripts are on other hosts
myst_heading_anchors = 3

add_module_names = False
autodoc_default_options = {"member-order": "bysource"}
autodoc_inherit_docstrings = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_sourcelink_suffix = ""
html_show_copyright = False
html_use_index = False
html_scaled_image_link = False  # a figure is no link to itself
html_domain_indices = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "use_download_button": True,
    "use_fullscreen_button": False,
    "show_toc_level": 2,
    "max_navbar_depth": 1,  # the marks that fold deeper levels have no name for screen readers
    "navbar_persistent": [],  # the search is in the sidebar
    "footer_content_items": ["extra-footer"],
    "extra_footer": "<p>Code: MIT licence. Text and figures: CC BY 4.0.</p>",
}
if COURSE["repository"]:  # without an address there is nothing to launch, and no page of its own
    OWNER, NAME = COURSE["repository"].split("/")
    html_baseurl = f"https://{OWNER.lower()}.github.io/{NAME}/"
    html_theme_options |= {
        "repository_url": f"https://github.com/{COURSE['repository']}",
        "repository_branch": COURSE["tag"],
        "path_to_docs": "",
        "use_repository_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }
