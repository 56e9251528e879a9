/** What a finished recipe says about the image it built; `diskGiB` is the size of the virtual disk. */
export interface BuiltImage {
  version: string
  cmdline: string
  user: string
  ports: number[]
  diskGiB: number
}

export interface ImageFiles {
  /** Names of the recipes that can be built. */
  recipes(): Promise<string[]>
  /** Runs a recipe into a folder of its own. A half-built folder is removed by `discard`. */
  build(
    recipe: string,
    imageId: string,
    report: (step: string, fraction: number) => void,
    signal?: AbortSignal,
  ): Promise<void>
  /** Puts what `build` made where the records say (see `imageFileNames`), read-only. Idempotent. */
  place(imageId: string): Promise<BuiltImage>
  /** Removes what `build` and `place` made. */
  discard(imageId: string): Promise<void>
}
