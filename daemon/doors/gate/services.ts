/** Servers that don't speak HTTP, by their usual ports. */
const services = new Map([
  [25, 'SMTP'],
  [1433, 'SQL Server'],
  [1883, 'MQTT'],
  [3306, 'MySQL'],
  [4222, 'NATS'],
  [5432, 'PostgreSQL'],
  [5672, 'RabbitMQ'],
  [6379, 'Redis'],
  [9042, 'Cassandra'],
  [9092, 'Kafka'],
  [11211, 'memcached'],
  [27017, 'MongoDB'],
  [33060, 'MySQL'],
])

/** Returns the server that usually listens on a port, if it doesn't speak HTTP. Pure. */
export const serviceOn = (port: number): string | undefined => services.get(port)
