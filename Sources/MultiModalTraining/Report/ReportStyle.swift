extension TrainingReport {
  /// The page's look, in both colour schemes and on narrow screens.
  static let style = """

    :root {
      --page: #f6f7f9; --card: #ffffff; --text: #1b1f24; --quiet: #59626e; --line: #dfe3e8;
      --curve: #0b62c4; --pale: #a9c9ec; --right: #14713a; --wrong: #a6361b;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #14171b; --card: #1d2127; --text: #e7eaee; --quiet: #a2abb6; --line: #353b44;
        --curve: #6db3ff; --pale: #35557a; --right: #5fcf8b; --wrong: #ff9a80;
      }
    }
    * { box-sizing: border-box; }
    body {
      margin: 0; background: var(--page); color: var(--text);
      font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
    }
    main { max-width: 1320px; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
    h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
    h2 { font-size: 1.2rem; margin: 2rem 0 .75rem; }
    h3 { font-size: .95rem; font-weight: 600; margin: 0; }
    .summary { border-collapse: collapse; background: var(--card); border: 1px solid var(--line); }
    .summary th, .summary td {
      padding: .3rem .8rem; border-bottom: 1px solid var(--line); text-align: start; vertical-align: top;
      overflow-wrap: anywhere;
    }
    .summary th { font-weight: 400; color: var(--quiet); min-width: 7rem; }
    .curves, .pictures { display: grid; gap: .75rem; }
    .curves { grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
    .pictures { grid-template-columns: repeat(auto-fill, minmax(min(100%, 10rem), 1fr)); }
    figure {
      margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden;
      min-width: 0;
    }
    .curves figcaption {
      display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; padding: .6rem .9rem 0;
    }
    .last { color: var(--curve); font-weight: 600; font-variant-numeric: tabular-nums; }
    svg { display: block; width: 100%; height: auto; }
    svg text { font-size: 12px; fill: var(--quiet); font-variant-numeric: tabular-nums; }
    svg .grid { stroke: var(--line); }
    svg .axis { stroke: var(--quiet); }
    svg polyline { fill: none; stroke-linejoin: round; }
    svg .raw polyline { stroke: var(--pale); stroke-width: 1; }
    svg .mean polyline { stroke: var(--curve); stroke-width: 2; }
    svg .mean circle { fill: var(--curve); }
    .pictures img { display: block; width: 100%; height: 11rem; object-fit: contain; background: var(--page); }
    .pictures figcaption { padding: .5rem .8rem .8rem; font-size: .9rem; border-top: 3px solid var(--wrong); }
    .pictures .right figcaption { border-color: var(--right); }
    .verdict { margin: 0; font-weight: 600; color: var(--wrong); }
    .right .verdict { color: var(--right); }
    dl { margin: 0; }
    dt { color: var(--quiet); font-size: .8rem; margin-top: .25rem; }
    dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
    li { overflow-wrap: anywhere; }
    summary { cursor: pointer; }

    """
}
