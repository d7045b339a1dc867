// Runs before anything is painted, so that the page is never light for a moment and then dark.
const chosen = localStorage.getItem("tieline.theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
