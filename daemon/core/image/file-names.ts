/** The paths of an image's files, relative to the state folder. Its layer has the image's id with another prefix. */
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
