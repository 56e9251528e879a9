import { expect, test } from 'vitest'
import { html } from './html.ts'

test('what is put into a page is text, and stays it in attributes', () => {
  const evil = `<script>alert("1")</script>'&`
  expect(html`<p title="${evil}">${evil}</p>`.markup).not.toMatch(/<script|"1"|'/)
  expect(html`<b>${html`<i>${1}</i>`}${[html`<u></u>`]}</b>`.markup).toBe('<b><i>1</i><u></u></b>')
})
