// What the tests of the report ask of a page in the browser. Every function returns a list of faults,
// or facts; nothing here changes the page but `openAll`.
const page = {
  openAll() {
    document.querySelectorAll("details").forEach((one) => (one.open = true));
    return document.querySelectorAll("details").length;
  },

  overflow() {
    const root = document.documentElement;
    if (root.scrollWidth <= window.innerWidth) return [];
    const wide = [...document.querySelectorAll("body *")].filter(
      (one) => one.getBoundingClientRect().right > window.innerWidth + 1 && !one.closest(".scroll,pre,svg"),
    );
    return [`${root.scrollWidth} > ${window.innerWidth}`, ...wide.slice(0, 5).map(page.name)];
  },

  name(one) {
    return `<${one.tagName} class="${one.getAttribute("class") ?? ""}">${one.textContent.trim().slice(0, 60)}`;
  },

  // WCAG 2.1, 1.4.3: every text against every colour that may lie behind it.
  contrast() {
    const faults = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let checked = 0;
    while (walker.nextNode()) {
      const one = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || !one.checkVisibility({ visibilityProperty: true })) continue;
      const style = getComputedStyle(one);
      const colour = page.colours(one.closest("svg") ? style.fill : style.color)[0];
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      for (const behind of page.behind(one)) {
        const ratio = page.ratio(page.over(colour, behind), behind);
        if (ratio < (large ? 3 : 4.5)) faults.add(`${ratio.toFixed(2)} ${page.name(one)}`);
      }
      checked += 1;
    }
    return { checked, faults: [...faults].slice(0, 10) };
  },

  colours(text) {
    const all = text.match(/rgba?\([^)]*\)/g) ?? [];
    return all.map((one) => {
      const [r, g, b, a = 1] = one.match(/[\d.]+/g).map(Number);
      return [r, g, b, a];
    });
  },

  over([r, g, b, a], [R, G, B]) {
    return [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  },

  // The colours behind an element: a gradient may show any of its own, or what lies behind it.
  behind(one) {
    const layers = [];
    for (let at = one; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      layers.push(page.colours(style.backgroundImage), page.colours(style.backgroundColor));
    }
    let behind = [[255, 255, 255, 1]];
    for (const layer of layers.reverse()) {
      const gradient = layer.length > 1;
      const next = layer.flatMap((colour) => behind.map((under) => page.over(colour, under)));
      if (next.length > 0) behind = gradient ? [...behind, ...next] : next;
    }
    return behind;
  },

  ratio(a, b) {
    const luminance = ([r, g, b]) => {
      const [R, G, B] = [r, g, b].map((c) => {
        const s = c / 255;
        return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * R + 0.7152 * G + 0.0722 * B;
    };
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  },

  // What someone who does not see the page, or has no mouse, depends on.
  access() {
    const faults = [];
    const all = (selector) => [...document.querySelectorAll(selector)];
    const bad = (what, one) => faults.push(`${what}: ${page.name(one)}`);
    const silent = (one) => one.closest("[aria-hidden=true]");
    for (const one of all("img")) if (!one.alt.trim()) bad("img without alt", one);
    for (const one of all("svg")) {
      if (one.parentElement.closest("svg") || silent(one)) continue;
      if (one.getAttribute("role") !== "img" || !one.getAttribute("aria-label")?.trim()) bad("svg without a name", one);
    }
    const ids = all("[id]").map((one) => one.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`id twice: ${id}`);
    for (const one of all("a[href^='#'],use[href^='#']")) {
      if (!document.getElementById(one.getAttribute("href").slice(1))) bad("leads nowhere", one);
    }
    const levels = all("h1,h2,h3,h4,h5,h6").map((one) => Number(one.tagName[1]));
    if (levels.filter((level) => level === 1).length !== 1 || levels[0] !== 1) faults.push("not one h1 at the top");
    levels.forEach((level, at) => {
      if (at > 0 && level > levels[at - 1] + 1) faults.push(`h${level} after h${levels[at - 1]}`);
    });
    for (const one of all("table")) if (!one.caption?.textContent.trim()) bad("table without caption", one);
    for (const one of all("th")) if (!one.scope) bad("th without scope", one);
    for (const one of all(".scroll,pre")) if (one.tabIndex !== 0) bad("scrolls by mouse alone", one);
    if (document.documentElement.lang !== "en" || !document.title.trim()) faults.push("no lang or title");
    if (!document.querySelector("main")) faults.push("no main");
    return faults;
  },

  // Nothing that could run, load or send.
  foreign() {
    const faults = [];
    for (const one of document.querySelectorAll("*")) {
      if (/^(script|iframe|object|embed|form|link|base|audio|video)$/i.test(one.tagName)) faults.push(page.name(one));
      for (const { name, value } of one.attributes) {
        if (/^on/i.test(name)) faults.push(`${name} on ${page.name(one)}`);
        const address = /^(href|src|xlink:href|action)$/i.test(name);
        if (address && !/^(https?:\/\/|#|data:image\/(png|svg\+xml);)/.test(value)) faults.push(`${name}=${value}`);
        if (/^(src|srcset|style)$/i.test(name) && !value.startsWith("data:image/")) faults.push(`${name}=${value}`);
      }
    }
    return faults;
  },

  // Verdict word, label and geometry of each row of the overviews.
  figures() {
    return [...document.querySelectorAll("tr.figure")].map((row) => {
      const box = (selector) => {
        const found = row.querySelector(selector)?.getBoundingClientRect();
        return found ? [found.left, found.right] : null;
      };
      return {
        word: row.querySelector(".word").textContent.trim(),
        label: row.querySelector("th").textContent,
        text: row.textContent,
        top: row.getBoundingClientRect().top,
        judged: row.closest(".judged") !== null,
        band: box(".band"),
        whisker: box("line.whisker"),
        drawing: box("svg.forest"),
      };
    });
  },

  // What is closed on a screen and must be on paper.
  closedAndUnseen() {
    const closed = [...document.querySelectorAll("details:not([open])")];
    return closed.filter((one) => one.getBoundingClientRect().height < 60).map(page.name);
  },
};
