// What the element says in other languages than English, and in its panel; loaded where it is needed.
export const WORDS = {
  en: {
    hear: "What you hear of", unmute: "Unmute {}",
    kinds: { post: "Posts", comment: "Comments", reply: "Replies", like: "Likes", repost: "Reposts", follow: "New followers", mention: "Mentions", message: "Messages" },
  },
  de: {
    title: "Benachrichtigungen", all: "Alle", unread: "Ungelesen", archived: "Archiv", readAll: "Alle als gelesen markieren", preferences: "Einstellungen",
    read: "Als gelesen markieren", unreadOne: "Als ungelesen markieren", archive: "Archivieren", unarchive: "Zurück in den Eingang", mute: "{} stummschalten",
    empty: { all: "Alles ruhig", unread: "Alles gelesen", archived: "Nichts archiviert" }, hint: "Was um dich herum geschieht, erscheint hier sofort.",
    offline: "Offline. Neuer Versuch läuft …", closed: "Nicht verbunden.", retry: "Noch einmal", failed: "Das hat nicht geklappt.", loading: "Wird geladen …", hear: "Wovon du hörst", muted: "Stummgeschaltet", unmute: "{} wieder hören",
    kinds: { post: "Beiträge", comment: "Kommentare", reply: "Antworten", like: "„Gefällt mir“", repost: "Geteiltes", follow: "Neue Follower", mention: "Erwähnungen", message: "Nachrichten" },
  },
  es: {
    title: "Notificaciones", all: "Todas", unread: "No leídas", archived: "Archivadas", readAll: "Marcar todas como leídas", preferences: "Preferencias",
    read: "Marcar como leída", unreadOne: "Marcar como no leída", archive: "Archivar", unarchive: "Devolver a la bandeja", mute: "Silenciar a {}",
    empty: { all: "Todo tranquilo", unread: "Todo leído", archived: "Nada archivado" }, hint: "Lo que pase a tu alrededor aparecerá aquí al momento.",
    offline: "Sin conexión. Reintentando…", closed: "No hay conexión.", retry: "Reintentar", failed: "No ha funcionado.", loading: "Cargando…", hear: "De qué quieres enterarte", muted: "Silenciados", unmute: "Dejar de silenciar a {}",
    kinds: { post: "Publicaciones", comment: "Comentarios", reply: "Respuestas", like: "Me gusta", repost: "Compartidos", follow: "Nuevos seguidores", mention: "Menciones", message: "Mensajes" },
  },
  ar: {
    title: "الإشعارات", all: "الكل", unread: "غير مقروءة", archived: "الأرشيف", readAll: "تعليم الكل كمقروء", preferences: "التفضيلات",
    read: "تعليم كمقروء", unreadOne: "تعليم كغير مقروء", archive: "أرشفة", unarchive: "إعادة إلى الوارد", mute: "كتم {}",
    empty: { all: "كل شيء هادئ", unread: "قرأت كل شيء", archived: "الأرشيف فارغ" }, hint: "يظهر هنا ما يحدث حولك لحظة حدوثه.",
    offline: "لا يوجد اتصال. تجري إعادة المحاولة…", closed: "غير متصل.", retry: "إعادة المحاولة", failed: "لم ينجح ذلك.", loading: "جارٍ التحميل…", hear: "ما تود معرفته", muted: "المكتومون", unmute: "إلغاء كتم {}",
    kinds: { post: "المنشورات", comment: "التعليقات", reply: "الردود", like: "الإعجابات", repost: "إعادات النشر", follow: "المتابعون الجدد", mention: "الإشارات", message: "الرسائل" },
  },
};
