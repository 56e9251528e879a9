import type { ImageResult } from '../../../daemon/commands/image/image-ls.ts'
import { bytes } from '../../../daemon/lib/text/units.ts'
import { useCommand } from '../command.ts'
import { Act, Ago, Empty, Table, Trouble } from '../parts.tsx'

interface Images {
  images: ImageResult[]
  recipes: string[]
}

export function ImagesView() {
  const { value, problem } = useCommand<Images>('image ls')
  return (
    <>
      <div class="heading">
        <h1>Images</h1>
      </div>
      {problem && <Trouble problem={problem} />}
      {value?.images.length === 0 && (
        <Empty title="No images yet">
          <p>VMs are made from an image. Build the first one: it takes a minute or two.</p>
        </Empty>
      )}
      {value && value.images.length > 0 && (
        <Table head={['Name', 'Version', 'Size', 'VMs', 'Built', '']}>
          {value.images.map((image) => (
            <tr key={image.id}>
              <td>
                <b>{image.name}</b>
              </td>
              <td>
                {image.version} {!image.current && <span class="soft">older</span>}
              </td>
              <td>{bytes(image.sizeBytes)}</td>
              <td>
                {image.vms} <span class="soft unit">{image.vms === 1 ? 'VM' : 'VMs'}</span>
              </td>
              <td>
                <Ago at={image.createdAt} />
              </td>
              <td class="does">
                <Act
                  kind="quiet"
                  label={`Delete ${image.name} ${image.version}`}
                  action={{ command: 'image rm', args: { image: image.name }, done: `${image.name} is deleted` }}
                >
                  Delete
                </Act>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <p class="buttons">
        {value?.recipes.map((recipe) => (
          <Act key={recipe} action={{ command: 'image build', args: { recipe }, done: `${recipe} is built` }}>
            Build {recipe}
          </Act>
        ))}
      </p>
    </>
  )
}
