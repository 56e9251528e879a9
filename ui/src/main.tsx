import { render } from 'preact'
import { App } from './app.tsx'
import { watch } from './box.ts'
import { learnSpellings } from './line.ts'
import { measureSeen } from './seen.ts'
import './style.css'

measureSeen()
watch()
void learnSpellings()
render(<App />, document.body)
