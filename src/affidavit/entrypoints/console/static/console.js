// What is nicer with a script. Every page can be read, and every form sent, without it.

/** A form that takes its time says so, and is not sent twice. */
function patient(form) {
  form.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    const button = event.submitter;
    if (!button || !button.dataset.busy) return;
    button.dataset.label = button.textContent;
    button.textContent = button.dataset.busy;
    // a disabled button would not be sent along with the form, hence later
    setTimeout(() => { button.disabled = true; }, 0);
  });
}

/** Coming back to a page from the browser's memory must not find its buttons still busy. */
function awake() {
  for (const button of document.querySelectorAll("button[data-label]")) {
    button.textContent = button.dataset.label;
    button.disabled = false;
  }
}

for (const form of document.forms) patient(form);
window.addEventListener("pageshow", awake);

/** A selection in a list of filters takes effect at once. */
for (const select of document.querySelectorAll("select[data-auto]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

/** What scrolls sideways can be scrolled by keyboard too. */
for (const box of document.querySelectorAll(".wrap")) {
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
}
