/** The result of one check of `doctor`. */
export interface Check {
  what: string
  state: 'fine' | 'look' | 'wrong'
  says: string
  /** What to do about it, if anything. */
  advice?: string
}
