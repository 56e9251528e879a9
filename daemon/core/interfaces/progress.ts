/** The progress of a long command. */
export interface Progress {
  /** What is being worked on, such as a VM's name. */
  subject: string
  /** What is happening, worded to follow the subject: "waiting for its first answer". */
  step: string
  /** 0 to 1. */
  fraction: number
  /** Something that the caller should know afterwards, such as why the command did not take the usual way. */
  note?: string
}
