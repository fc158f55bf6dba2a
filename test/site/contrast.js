/** Runs in the page: how texts stand out from what is behind them, the least of each kind, and the background of all. */
(() => {
  const numbers = (color) => [...color.matchAll(/[\d.]+/g)].map(Number);
  const luminance = (color) => {
    const [red = 0, green = 0, blue = 0] = numbers(color).map((value) =>
      value / 255 <= 0.03928 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const backgroundOf = (element) => {
    if (element === null) return 'rgb(255, 255, 255)';
    const color = getComputedStyle(element).backgroundColor;
    return numbers(color)[3] === 0 ? backgroundOf(element.parentElement) : color;
  };
  const least = {};
  for (const kind of ['p', 'li', 'td', 'a', 'pre span', 'p code', 'h2']) {
    const contrasts = [...document.querySelectorAll(`.col-content ${kind}`)].map((element) => {
      const [one, other] = [luminance(getComputedStyle(element).color), luminance(backgroundOf(element))];
      return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    });
    least[kind] = Math.min(...contrasts);
  }
  return { background: backgroundOf(document.querySelector('.col-content')), least };
})();
