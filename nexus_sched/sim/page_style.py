"""How the page of a comparison looks: variables for light and dark, and a class for each policy's line."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --page: #fcfcfd; --card: #fff; --ink: #1b2330; --soft: #566072; --rule: #dfe3ea;
  --band: #00000012; --s0: #0060a8; --s1: #b4530a; --s2: #00795a; --s3: #a8427f; --s4: #8a6d00; --s5: #5a5f6b;
  --s6: #14181f; --s7: #6d4fc4; }
@media (prefers-color-scheme: dark) { :root { --page: #10141b; --card: #171d27; --ink: #e6eaf1; --soft: #a3adbd;
  --rule: #2c3442; --band: #ffffff18; --s0: #5fb4f5; --s1: #f39a4b; --s2: #35c79c; --s3: #ea92c6; --s4: #e3c53c;
  --s5: #aeb6c4; --s6: #f4f6fa; --s7: #b39cf2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; }
p { color: var(--soft); margin: .3rem 0 1rem; max-width: 75ch; }
ul { list-style: none; padding: 0; margin: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: .8rem; }
.tiles li { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: .8rem 1rem; }
.tiles span, .tiles small { display: block; color: var(--soft); font-size: .85rem; line-height: 1.35; }
.tiles strong { display: block; font-size: 1.65rem; line-height: 1.3; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; margin: .2rem 0 .8rem; }
.legend li { display: flex; align-items: center; gap: .45rem; font-size: .9rem; }
.legend svg { width: 34px; height: 10px; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 1rem; }
.pictures.wide { grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); }
figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: .7rem .7rem .5rem; }
figcaption { font-size: .87rem; color: var(--soft); padding: 0 .2rem .3rem; }
figure > svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; margin: .6rem 0 1.4rem; background: var(--card); border: 1px solid var(--rule);
  border-radius: 10px; padding: .3rem .6rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; color: var(--soft); font-size: .83rem; padding: .5rem .3rem; }
th, td { padding: .4rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
thead th { white-space: normal; vertical-align: bottom; color: var(--soft); font-weight: 600; font-size: .84rem; }
th:first-child { text-align: left; } tbody tr:last-child > * { border-bottom: 0; }
td small { color: var(--soft); margin-left: .35em; font-size: .82em; }
.mark { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .5em;
  background: var(--ink); }
pre { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: .8rem 1rem;
  overflow-x: auto; font: .88rem/1.5 ui-monospace, "SF Mono", Consolas, monospace; }
svg text { font: 11px system-ui, "Segoe UI", sans-serif; fill: var(--soft); }
.middle { text-anchor: middle; } .end { text-anchor: end; } .name { fill: var(--ink); }
.axis { fill: none; stroke: var(--soft); } .grid { fill: none; stroke: var(--rule); }
.rule { stroke: var(--soft); stroke-dasharray: 2 3; } .ideal { stroke: var(--soft); stroke-width: 1; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .line.ideal { stroke-width: 1; }
.area { stroke: none; fill-opacity: .22; } .area.within { fill: var(--ink); fill-opacity: .1; }
.dots { fill: none; stroke-width: 3; stroke-linecap: round; stroke-opacity: .45; }
.s0 { stroke: var(--s0); } .area.s0 { fill: var(--s0); } .mark.s0 { background: var(--s0); }
.line.s0 { stroke-width: 3; }
.s1 { stroke: var(--s1); stroke-dasharray: 9 3; } .area.s1 { fill: var(--s1); } .mark.s1 { background: var(--s1); }
.s2 { stroke: var(--s2); stroke-dasharray: 5 3; } .area.s2 { fill: var(--s2); } .mark.s2 { background: var(--s2); }
.s3 { stroke: var(--s3); stroke-dasharray: 10 3 2 3; } .area.s3 { fill: var(--s3); }
.mark.s3 { background: var(--s3); }
.s4 { stroke: var(--s4); stroke-dasharray: 2 3; } .area.s4 { fill: var(--s4); } .mark.s4 { background: var(--s4); }
.s5 { stroke: var(--s5); stroke-dasharray: 12 4 2 4 2 4; } .area.s5 { fill: var(--s5); }
.mark.s5 { background: var(--s5); }
.s6 { stroke: var(--s6); stroke-dasharray: 4 2; } .area.s6 { fill: var(--s6); } .mark.s6 { background: var(--s6); }
.s7 { stroke: var(--s7); stroke-dasharray: 14 3; } .area.s7 { fill: var(--s7); } .mark.s7 { background: var(--s7); }
.area, .dots { stroke-dasharray: none; } .area { stroke: none; }
a:focus-visible, .scroll:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
@media print { :root { color-scheme: light; } figure, .scroll { break-inside: avoid; } }
"""
