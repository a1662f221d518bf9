"""Web pages for the people who run a server: who may see them, and the parts that they are made of.

Knows nothing of what is shown. The gateway and the stand-in give it a `guard.House` (their names and words), a
`template.Shell` (name, navigation, style, script) and views: ES modules of their own, in a folder that
`assets.add_assets(application, folder, "/assets/own/")` serves. No build, nothing inline, nothing from elsewhere.

A view's script begins with `import { card, h, startApp, table } from "/assets/parts/parts.js";` and calls
`startApp({ product: "Gateway", views: { "": { title: "Overview", open(page) { … } }, devices: { … } } })`:
`/#/devices/a?x=1` opens the view `devices` with `page.path` ["a"] and `page.query`; it draws with `page.draw(…)` what
`h(tag, properties, …children)` makes, asks by `page.poll(url, seconds, show)`, `page.stream(url, handlers)`,
`page.ask(method, url, body)`, and all that ends with the view. `page(shell, title, body, here=path)` of `template` is
a page in the same frame that the server makes, for whoever has no script. Texts become text: `h` knows no markup.
Classes of `assets/parts.css`: page-head, stack, columns (half, third, two-thirds), card, tiles, pill, list, toolbar.

Entry points: `guard.Guard`, `template.page`, `assets.add_assets`, and in JavaScript all that `assets/parts.js` exports.
"""
