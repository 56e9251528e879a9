/** Where the files of an image lie, relative to the state folder. Its layer's id is its own under another prefix. */
export function imageFileNames(imageId: string) {
  const layer = imageId.replace('img_', 'lay_')
  return {
    layer,
    root: `layers/${layer}.qcow2`,
    folder: `images/${imageId}`,
    kernel: `images/${imageId}/vmlinuz`,
    initrd: `images/${imageId}/initrd`,
  }
}
