const { env } = process;
const login = env.WHO ? { requireTLS: true, tls: { rejectUnauthorized: false }, auth: { user: env.WHO, pass: 'secret' } } : { ignoreTLS: true };
const transport = require('nodemailer').createTransport({ host: env.SERVER, port: Number(env.PORT), ...login });
const all = [env.TO, env.CC, env.BCC].filter((one) => one);
transport.sendMail({
  from: { name: 'Jürgen Grün', address: env.FROM }, to: env.TO, cc: env.CC, bcc: env.BCC,
  ...(env.SENDER === undefined ? {} : { envelope: { from: env.SENDER, to: all } }),
  subject: 'Grüße aus Köln', text: 'Übung macht den Meister.\n.\nEnde\n',
  attachments: env.SIZE ? [{ filename: 'Grün.bin', content: Buffer.alloc(Number(env.SIZE), '0123456789abcdef') }] : [],
}).catch((error) => { console.error(error); process.exitCode = 1; });
