/** One thing that `doctor` looked at. */
export interface Check {
  what: string
  state: 'fine' | 'look' | 'wrong'
  says: string
  /** What to do, when something is to be done. */
  advice?: string
}
