// Under the pointer: the numbers of that day, read from the table below the chart.
for (const figure of document.querySelectorAll("figure")) {
  const heads = [...figure.querySelectorAll("thead th")].map((cell) => cell.textContent);
  const rows = [...figure.querySelectorAll("tbody tr")].map((row) => ({
    place: Number(row.dataset.x),
    cells: [...row.children].map((cell) => cell.textContent),
  }));
  if (!rows.length) continue;
  for (const plot of figure.querySelectorAll(".plot")) {
    const left = Number(plot.dataset.left) / 100;
    const width = Number(plot.dataset.right) / 100 - left;
    const cross = document.createElement("div");
    const tip = document.createElement("div");
    cross.className = "cross";
    tip.className = "tip";
    cross.hidden = tip.hidden = true;
    plot.append(cross, tip);
    const show = (event) => {
      const box = plot.getBoundingClientRect();
      const wanted = ((event.clientX - box.left) / box.width - left) / width;
      const row = rows.reduce((best, next) => (Math.abs(next.place - wanted) < Math.abs(best.place - wanted) ? next : best));
      const at = (left + row.place * width) * box.width;
      const title = document.createElement("b");
      title.textContent = row.cells[0];
      const lines = row.cells.slice(1).map((text, number) => {
        const line = document.createElement("span");
        const name = document.createElement("i");
        name.textContent = heads[number + 1];
        line.append(name, text);
        return line;
      });
      tip.replaceChildren(title, ...lines);
      cross.hidden = tip.hidden = false;
      cross.style.left = `${at}px`;
      const beside = at + 12 + tip.offsetWidth > box.width ? at - 12 - tip.offsetWidth : at + 12;
      tip.style.left = `${Math.max(0, beside)}px`;
    };
    plot.addEventListener("pointermove", show);
    plot.addEventListener("pointerdown", show);
    plot.addEventListener("pointerleave", () => { cross.hidden = tip.hidden = true; });
  }
}
