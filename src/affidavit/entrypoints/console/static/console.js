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

/** The events of a stream, as {name, data} (HTML Living Standard, 9.2, as far as our server writes it). */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const event = { name: "", data: "" };
      for (const line of rest.slice(0, end).split("\n")) {
        if (line.startsWith("event: ")) event.name = line.slice(7);
        if (line.startsWith("data: ")) event.data = line.slice(6);
      }
      rest = rest.slice(end + 2);
      if (event.name) yield { name: event.name, data: JSON.parse(event.data) };
    }
  }
}

/** Shows each claim as soon as it is verified and on record, then goes to the answer's own page. */
async function streamed(form) {
  const box = form.nextElementSibling;
  const told = box.querySelector(".prose");
  const asked = { question: form.elements.question.value.trim() };
  for (const name of ["as_of", "follows"]) {
    const said = form.elements[name]?.value.trim();
    if (said) asked[name] = said;
  }
  const answer = await fetch("/v1/ask", {
    method: "POST",
    headers: {
      "Accept": "text/event-stream",
      "Content-Type": "application/json",
      "X-CSRF-Token": document.body.dataset.token,
    },
    body: JSON.stringify(asked),
  });
  if (!answer.ok || !answer.headers.get("Content-Type").startsWith("text/event-stream")) {
    form.submit();  // the page that says what is wrong
    return;
  }
  box.hidden = false;
  let run = "";
  try {
    for await (const { name, data } of events(answer.body)) {
      run = data.run ?? run;
      if (name === "claim") {
        const line = document.createElement("p");
        const isolated = document.createElement("bdi");
        isolated.textContent = data.text;
        line.append(isolated);
        told.append(line);
        box.ariaBusy = "false";  // else it is read aloud only when all of it is there
      } else if (name === "problem") {
        box.querySelector("p").textContent = `${data.message}. ${data.hint}`;
        box.ariaBusy = "false";
        awake();
        if (!run) return;
      }
    }
  } catch (error) {
    if (!run) throw error;  // else what was given by then is on record
  }
  location.assign(`/answers/${encodeURIComponent(run)}`);
}

for (const form of document.querySelectorAll("form[data-stream]")) {
  form.addEventListener("submit", (event) => {
    if (event.submitter?.hasAttribute("formaction")) return;
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button");
    button.dataset.label = button.textContent;
    button.textContent = button.dataset.busy;
    button.disabled = true;
    streamed(form).catch(() => form.submit());
  });
}

/** Work that goes on behind the page says how far it is; when it is over the page shows what came of it. */
async function told(out) {
  const answer = await fetch(out.dataset.progress, { headers: { "Accept": "application/json" } });
  if (!answer.ok) return;
  const { documents, syncing } = await answer.json();
  if (syncing) out.textContent = `It is being read now: ${documents} documents so far.`;
  else location.reload();
}

for (const out of document.querySelectorAll("[data-progress]")) {
  setInterval(() => { told(out).catch(() => {}); }, 2000);
}
/** Paper cannot be unfolded: what is folded away is printed too. */
window.addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not([open])")) folded.open = true;
});

for (const form of document.forms) patient(form);
window.addEventListener("pageshow", awake);

/** A selection in a list of filters takes effect at once. */
for (const select of document.querySelectorAll("select[data-auto]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

/** Where the navigation is a strip, it begins with where one is. */
const strip = document.querySelector(".side nav");
const here = strip?.querySelector("[aria-current]");
if (here) strip.scrollLeft = here.offsetLeft - strip.clientWidth / 3;

/** What scrolls sideways can be scrolled by keyboard too, also once the window has become narrower. */
const narrowed = new ResizeObserver((boxes) => {
  for (const { target: box } of boxes) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
});
for (const box of document.querySelectorAll(".wrap")) {
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  narrowed.observe(box);
}
