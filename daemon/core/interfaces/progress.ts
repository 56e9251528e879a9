/** How far a long command is. */
export interface Progress {
  /** What is being worked on, such as a VM's name. */
  subject: string
  /** What is happening, to go after the subject: "waiting for its first answer". */
  step: string
  /** 0 to 1. */
  fraction: number
  /** Something that whoever asked should know afterwards, such as why it took another way than usual. */
  note?: string
}
