"use strict";
// Without this the film strip stands there; with it, a stage above shows one frame of the strip, large.
for (const film of document.querySelectorAll(".film")) {
  const frames = film.querySelectorAll(".strip li");
  const [stage, pictures, slider, time, play] = [".stage", ".pictures", "input", "output", "button"].map((name) =>
    film.querySelector(name),
  );
  let playing = 0;

  const show = (index) => {
    slider.value = index;
    pictures.replaceChildren(...[...frames[index].querySelectorAll("img")].map((image) => image.cloneNode()));
    time.value = frames[index].querySelector("span").textContent;
    slider.ariaValueText = time.value;
    frames.forEach((frame, at) => frame.classList.toggle("current", at === index));
  };
  const stop = () => {
    playing = clearInterval(playing) ?? 0;
    play.textContent = film.dataset.play;
  };
  const step = () => (slider.valueAsNumber < frames.length - 1 ? show(slider.valueAsNumber + 1) : stop());

  slider.addEventListener("input", () => (stop(), show(slider.valueAsNumber)));
  frames.forEach((frame, index) => frame.addEventListener("click", () => (stop(), show(index))));
  play.addEventListener("click", () => {
    if (playing) return stop();
    if (slider.valueAsNumber === frames.length - 1) show(0);
    playing = setInterval(step, 4000 / frames.length);
    play.textContent = film.dataset.pause;
  });
  show(0);
  stage.hidden = false;
}
