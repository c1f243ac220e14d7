"""The style of the page of all environments: a table that becomes cards on a phone, light and dark."""

STYLE = """
:root { --text: #1b1f24; --dim: #59636e; --page: #ffffff; --line: #d1d9e0; --bar: #1f6feb;
  --pale: #b6d4fe; --good: #1a7f37; --bad: #b42318; --asleep: #59636e; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --dim: #9198a1; --page: #0d1117;
  --line: #3d444d; --bar: #58a6ff; --pale: #1f4a80; --good: #3fb950; --bad: #ff7b72; --asleep: #9198a1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; color: var(--text); background: var(--page);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.5rem; } h2 { margin: 1.5rem 0 .25rem; font-size: 1.1rem; }
p, footer { color: var(--dim); margin: .25rem 0; } footer { margin-top: 2rem; }
a { color: var(--bar); } ul { margin: .25rem 0; padding-left: 1.25rem; } .calm { color: var(--good); }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .5rem; text-align: left; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; font-size: .85rem; white-space: nowrap; }
.state { font-weight: 600; } .state.awake { color: var(--good); } .state.asleep { color: var(--asleep); }
.state.bad { color: var(--bad); }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
figure { margin: 0; } figcaption { font-weight: 600; } figcaption span { font-weight: 400; color: var(--dim); }
svg { display: block; width: 100%; max-width: 30rem; height: auto; } svg text { font-size: 10px; fill: var(--dim); }
.bar { fill: var(--bar); } .pale { fill: var(--pale); } .partial { opacity: .6; }
.unknown { fill: none; stroke: var(--line); stroke-dasharray: 2 2; } .axis { stroke: var(--line); }
.good { fill: var(--good); } .failed { fill: var(--bad); } .unproved { fill: var(--pale); stroke: var(--bar); }
@media (max-width: 48rem) {
  thead { display: none; } tr { display: block; padding: .5rem 0; border-bottom: 2px solid var(--line); }
  td { display: flex; justify-content: space-between; gap: 1rem; padding: .1rem 0; border: 0; text-align: right; }
  td::before { content: attr(data-head); color: var(--dim); } td:first-child { font-weight: 600; }
  td.none { display: none; } svg { max-width: none; }
}
"""
